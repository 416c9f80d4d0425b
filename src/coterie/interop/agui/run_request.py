"""The request of an AG-UI run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import RunAgentInput, TextPart, ToolMessage, UserMessage
from pydantic import ValidationError

from coterie.interop.agui.interrupts import InterruptAnswer, parse_answers
from coterie.interop.responses import HTTPProblem, decode_file
from coterie.models import Attachment, ToolDefinition

_INTERNAL_ERROR = re.compile(r"(?:answer|delivery)-(\d{1,19})(?:-\d+)?")
_TOOL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_KINDS = {"image": "image/png", "audio": "audio/mpeg", "video": "video/mp4", "document": "application/octet-stream"}
_SHOWN = 5
_IGNORED = "the assistant has its own instructions and state; what it needs to know belongs into the user's message"


@dataclass(frozen=True)
class RunRequest:
    """The validated request of a run."""

    thread: str
    run: str
    text: str | None
    """The new message of the user, or None."""
    message: str | None
    """The front end's id of the message."""
    known: frozenset[int]
    """The events that the front end has."""
    after: int | None
    """The last of these events; None if the front end names none."""
    given: RunAgentInput
    attachments: tuple[Attachment, ...] = ()
    results: tuple[tuple[str, str, bool], ...] = ()
    """The results of the front end's own tools: the call, the result, and whether it is an error."""
    answers: tuple[InterruptAnswer, ...] = ()
    """The answers to interrupts of earlier runs."""

    @property
    def ignored(self) -> dict[str, Any]:
        """Return what the run brings and the assistant does not use, by its keys; empty if there is nothing."""
        given = self.given
        found: dict[str, Any] = {
            "context": [each.description for each in given.context or ()],
            "state": sorted(given.state) if isinstance(given.state, dict) else [given.state] if given.state else [],
            "forwardedProps": sorted(given.forwarded_props) if isinstance(given.forwarded_props, dict) else [],
        }
        found = {key: value for key, value in found.items() if value}
        return found | {"reason": _IGNORED} if found else {}

    @property
    def tools(self) -> tuple[ToolDefinition, ...]:
        """Return the front end's own tools."""
        return tuple(
            ToolDefinition(each.name, each.description, each.parameters or {"type": "object", "properties": {}})
            for each in self.given.tools or ()
        )

    @property
    def begins(self) -> bool:
        """Return whether the messages have no answer yet."""
        return not any(getattr(each, "role", "") == "assistant" for each in self.given.messages)


def parse_request(body: Any) -> RunRequest:
    """Return the validated request of a body. Raises `HTTPProblem` with the wrong key."""
    if not isinstance(body, dict):
        raise HTTPProblem(422, "the body must be an object, a RunAgentInput of AG-UI")
    try:
        given = RunAgentInput.model_validate(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        first = ".".join(map(str, error.errors()[0]["loc"]))
        raise HTTPProblem(422, "; ".join(faults[:_SHOWN]), param=first, code="invalid_input") from error
    for name, value in (("threadId", given.thread_id), ("runId", given.run_id)):
        if not value:
            raise HTTPProblem(422, f"{name} is empty; give each thread and each run a unique name", param=name)
        if not value.isprintable():
            raise HTTPProblem(422, f"{name} has a control character; use letters, digits and signs", param=name)
    _check_tools(given)
    text, message, attachments = _latest_message(given.messages)
    known = frozenset(int(found[1]) for each in given.messages if (found := _INTERNAL_ERROR.fullmatch(str(each.id))))
    return RunRequest(
        given.thread_id, given.run_id, text, message, known, max(known, default=None), given,
        attachments=attachments, results=_results(given.messages), answers=parse_answers(given.resume),
    )  # fmt: skip


def _check_tools(given: RunAgentInput) -> None:
    names: set[str] = set()
    for place, each in enumerate(given.tools or ()):
        where = f"tools.{place}"
        if not _TOOL.fullmatch(each.name) or each.name in names:
            raise HTTPProblem(422, f"{where}: {each.name!r} is no name, or is given twice", param=where)
        if not isinstance(each.parameters, dict | None):
            raise HTTPProblem(422, f"{where}: parameters must be a JSON schema, an object", param=where)
        names.add(each.name)


def _latest_message(messages: Sequence[Any]) -> tuple[str | None, str | None, tuple[Attachment, ...]]:
    """Return the text, the id and the files of the user's last message, if no answer follows it."""
    for each in reversed(messages):
        if isinstance(each, UserMessage):
            text, attachments = _content(each)
            return text, each.id, attachments
        if getattr(each, "role", "") in ("assistant", "tool"):
            return None, None, ()
    return None, None, ()


def _results(messages: Sequence[Any]) -> tuple[tuple[str, str, bool], ...]:
    """Return the results of tools at the end of the messages."""
    found: list[tuple[str, str, bool]] = []
    for each in reversed(messages):
        if isinstance(each, ToolMessage):
            parts = each.content if isinstance(each.content, list) else [TextPart(type="text", text=each.content)]
            text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
            found.insert(0, (each.tool_call_id, each.error or text, bool(each.error)))
        elif getattr(each, "role", "") in ("assistant", "user"):
            break
    return tuple(found)


def _content(message: UserMessage) -> tuple[str, tuple[Attachment, ...]]:
    if isinstance(message.content, str):
        return message.content, ()
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    attachments = tuple(_attachment(part) for part in message.content if not isinstance(part, TextPart))
    # A file without a word is a message too.
    return "\n".join(texts) or ("(see the file)" if attachments else ""), attachments


def _attachment(part: Any) -> Attachment:
    source = part.source
    media_type = getattr(source, "mime_type", None) or _KINDS.get(part.type, "application/octet-stream")
    if source.type == "url":
        return Attachment(media_type=media_type, url=source.value)
    if source.type != "data":
        raise HTTPProblem(422, "messages: send the file itself, or its address", param="messages")
    return Attachment(media_type=media_type, data=decode_file(source.value, "messages"))
