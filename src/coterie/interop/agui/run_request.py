"""The request of an AG-UI run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import RunAgentInput, TextPart, UserMessage
from pydantic import ValidationError

from coterie.interop.agui.interrupts import InterruptAnswer, parse_answers
from coterie.interop.responses import HTTPProblem

_INTERNAL_ERROR = re.compile(r"(?:answer|delivery)-(\d{1,19})(?:-\d+)?")
_SHOWN = 5
_IGNORED = "the assistant has its own tools, instructions and state; what it needs to know belongs into the user's message"


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
    answers: tuple[InterruptAnswer, ...] = ()
    """The answers to interrupts of earlier runs."""

    @property
    def ignored(self) -> dict[str, Any]:
        """Return what the run brings and the assistant does not use, by its keys; empty if there is nothing."""
        given = self.given
        found: dict[str, Any] = {
            "tools": [each.name for each in given.tools or ()],
            "context": [each.description for each in given.context or ()],
            "state": sorted(given.state) if isinstance(given.state, dict) else [given.state] if given.state else [],
            "forwardedProps": sorted(given.forwarded_props) if isinstance(given.forwarded_props, dict) else [],
        }
        found = {key: value for key, value in found.items() if value}
        return found | {"reason": _IGNORED} if found else {}

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
    text, message = _latest_message(given.messages)
    known = frozenset(int(found[1]) for each in given.messages if (found := _INTERNAL_ERROR.fullmatch(str(each.id))))
    return RunRequest(
        given.thread_id, given.run_id, text, message, known, max(known, default=None), given, parse_answers(given.resume)
    )


def _latest_message(messages: Sequence[Any]) -> tuple[str | None, str | None]:
    """Return the text and id of the user's last message, if no answer follows it."""
    for each in reversed(messages):
        if isinstance(each, UserMessage):
            return _text(each), each.id
        if getattr(each, "role", "") in ("assistant", "tool"):
            return None, None
    return None, None


def _text(message: UserMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = [part.text for part in message.content if isinstance(part, TextPart)]
    if len(parts) < len(message.content):
        raise HTTPProblem(422, "messages: only text is supported; leave out images, sound and files", param="messages")
    return "\n".join(parts)
