"""Interrupts of AG-UI: what a run leaves for a person to decide, and the answers that a later run brings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import Interrupt, ResumeEntry

from coterie.conversation import Conversation, Operation, OperationState
from coterie.errors import CoterieError, TransitionRefused
from coterie.interop.agui.operations import OUTCOMES
from coterie.interop.agui.translator import content
from coterie.interop.responses import HTTPProblem, public_message, status_of

_APPROVAL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "reason": {"type": "string", "description": "why it is rejected"},
        "arguments": {"type": "object", "description": "all arguments, if some of them are to be changed"},
    },
    "required": ["approved"],
}
_OUTCOME: dict[str, Any] = {
    "type": "object",
    "properties": {"outcome": {"enum": list(OUTCOMES)}, "detail": {"type": "string"}},
    "required": ["outcome"],
}
_WORDS = {"approve": True, "approved": True, "yes": True, "reject": False, "rejected": False, "no": False}


@dataclass(frozen=True)
class InterruptAnswer:
    """An answer to an interrupt, checked. `consent` is 0 for an operation of unknown outcome."""

    operation: str
    consent: int
    payload: dict[str, Any]
    cancelled: bool

    @property
    def interrupt(self) -> str:
        """The id of the interrupt."""
        return f"{self.operation}.{self.consent}" if self.consent else self.operation


def interrupts(operations: Iterable[Operation]) -> list[Interrupt]:
    """Return the interrupts of the operations that the user of the conversation can decide on."""
    return [_interrupt(each) for each in operations if _is_open(each)]


def parse_answers(entries: Sequence[ResumeEntry] | None) -> tuple[InterruptAnswer, ...]:
    """Return the answers of a run. Raises `HTTPProblem` for an answer without a meaning."""
    return tuple(_answer(place, each) for place, each in enumerate(entries or ()))


@dataclass(frozen=True)
class RefusedAnswer:
    """An answer that was refused, with the reason."""

    answer: InterruptAnswer
    error: CoterieError

    def shown(self) -> dict[str, Any]:
        """Return what the front end is told: the interrupt, the HTTP status of the error, and its text."""
        name = self.answer.interrupt
        return {"interruptId": name, "status": status_of(self.error), "message": public_message(self.error, name)}


async def give_answers(
    chat: Conversation, answers: Sequence[InterruptAnswer], person: str
) -> tuple[list[Operation], list[RefusedAnswer]]:
    """Pass all answers on; return the operations that go on, and the answers that were refused.

    An abandoned interrupt rejects an operation that awaits approval, and leaves one of unknown outcome as it is. To abandon
    one that has been decided meanwhile is no error. Raises the error of an only answer, and `HTTPProblem` if all of several
    were refused: then nothing has changed.
    """
    going: list[Operation] = []
    refused: list[RefusedAnswer] = []
    for each in answers:
        try:
            after = await _give(chat, each, person)
        except CoterieError as error:
            if not (each.cancelled and isinstance(error, TransitionRefused)):
                refused.append(RefusedAnswer(each, error))
            continue
        if after is not None:
            going.append(after)
    if refused and len(refused) == len(answers):
        if len(refused) == 1:
            raise refused[0].error
        shown = [each.shown() for each in refused]
        raise HTTPProblem(shown[0]["status"], "; ".join(f"{each['interruptId']}: {each['message']}" for each in shown))
    return going, refused


async def _give(chat: Conversation, answer: InterruptAnswer, person: str) -> Operation | None:
    name, payload = answer.operation, answer.payload
    if not answer.consent:
        if answer.cancelled:
            return None
        return await chat.resolve(name, payload["outcome"], payload.get("detail", ""), person=person)
    if not payload["approved"]:
        return await chat.reject(name, payload.get("reason", ""), person=person, consent=answer.consent)
    if payload.get("arguments") is None:
        return await chat.approve(name, person=person, consent=answer.consent)
    # The person who changes the arguments has seen what they approve.
    changed = await chat.edit(name, payload["arguments"], person=person)
    return await chat.approve(changed, person=person)


def _is_open(operation: Operation) -> bool:
    if operation.state is OperationState.AWAITING_APPROVAL:
        return not operation.elsewhere
    return operation.state is OperationState.UNKNOWN and operation.reported


def _interrupt(operation: Operation) -> Interrupt:
    metadata: Any = {"operation": content(operation)}
    if operation.state is OperationState.UNKNOWN:
        message = f"It is unknown whether {operation.id} {operation.tool} took effect. Did it?"
        return Interrupt(
            id=operation.id, reason="unknown_outcome", message=message, response_schema=_OUTCOME, metadata=metadata
        )
    expires = None
    if operation.expires_at is not None:
        expires = dt.datetime.fromtimestamp(operation.expires_at, dt.UTC).isoformat()
    return Interrupt(
        id=f"{operation.id}.{operation.consent}",
        reason="tool_call",
        message=operation.question,
        tool_call_id=operation.call or None,
        response_schema=_APPROVAL,
        expires_at=expires,
        metadata=metadata,
    )


def _answer(place: int, entry: ResumeEntry) -> InterruptAnswer:
    name, _, number = entry.interrupt_id.partition(".")
    where = f"resume.{place}"
    if not name.startswith("op-") or (number and not (number.isascii() and number.isdigit() and number != "0")):
        problem = f"{where}: {entry.interrupt_id!r} is not the id of an interrupt; send the id that the run ended with"
        raise HTTPProblem(422, problem, param=where)
    consent = int(number[:18]) if number else 0
    cancelled = entry.status == "cancelled"
    if not consent:
        return InterruptAnswer(name, 0, {} if cancelled else _outcome(entry.payload, where), cancelled)
    if cancelled:
        return InterruptAnswer(name, consent, {"approved": False}, cancelled)
    return InterruptAnswer(name, consent, _approval(entry.payload, where), cancelled)


def _approval(payload: Any, where: str) -> dict[str, Any]:
    """Return the payload of an approval: a boolean, a word, or an object."""
    if isinstance(payload, str):
        payload = _WORDS.get(payload.strip().lower())
    if isinstance(payload, bool):
        return {"approved": payload}
    approved = payload.get("approved") if isinstance(payload, dict) else None
    if not isinstance(approved, bool):
        raise HTTPProblem(422, f'{where}: the payload must be {{"approved": true}} or {{"approved": false}}', param=where)
    arguments = payload.get("arguments", payload.get("editedArgs"))
    reason = payload.get("reason", payload.get("why", ""))
    if not isinstance(arguments, dict | None) or not isinstance(reason, str):
        raise HTTPProblem(422, f"{where}: arguments must be an object, and reason a text", param=where)
    return {"approved": approved, "arguments": arguments, "reason": reason}


def _outcome(payload: Any, where: str) -> dict[str, Any]:
    """Return the payload about an unknown outcome: a word, or an object."""
    found = {"outcome": payload} if isinstance(payload, str) else payload
    if not isinstance(found, dict) or found.get("outcome") not in OUTCOMES or not isinstance(found.get("detail", ""), str):
        raise HTTPProblem(422, f'{where}: the payload must be {{"outcome": …}} with one of {", ".join(OUTCOMES)}', param=where)
    return found
