"""Asking a guest, wherever it lives, and what the answers come to."""

from __future__ import annotations

from typing import Any

from coterie.errors import AskTimeout, DeliveryError, HandlerFailed, Unhandled
from coterie.kernel import Address
from coterie.meetings.desk.letters import Answer, Host, NotHeld
from coterie.meetings.messages import Accept, Decline, Invitation
from coterie.runtime import AgentRef, AgentRuntime

RECEPTION = "coterie/meetings"
"""The name of the agent that takes in guests' invitations on each node."""
_TRY = 2.0
"""Seconds after which another node is asked again, for letters get lost."""


async def ask_here(guest: AgentRef, invitation: Invitation, limit: float) -> Answer:
    """Ask a guest on this node, within so many seconds, and return its answer in words."""
    try:
        answer: Any = await guest.ask(invitation, timeout=limit)
    except DeliveryError as error:
        return _failed(error, limit)
    if isinstance(answer, bool):
        answer = Accept() if answer else Decline()
    if isinstance(answer, Accept):
        return Answer("accepted", accepted=answer)
    if isinstance(answer, Decline):
        return Answer("declined", answer.reason)
    return Answer("declined", f"its handler returned {answer!r}, which is neither Accept() nor Decline(reason)")


def _failed(error: DeliveryError, limit: float) -> Answer:
    if isinstance(error, AskTimeout):
        return Answer("silent", f"it did not answer within {limit:g} s")
    if isinstance(error, Unhandled):
        return Answer("declined", "it has no handler for Invitation")
    if isinstance(error, HandlerFailed):
        return Answer("declined", f"its handler failed: {error.reason}")
    return Answer("unreachable", str(error))


async def ask_there(runtime: AgentRuntime, host: Host) -> Answer:
    """Ask a guest on another node, through the reception there; again and again, for the answer may be lost."""
    reception = runtime.reference(Address(host.guest.address.node, RECEPTION))
    deadline = runtime.clock.monotonic() + host.timeout
    while True:
        left = deadline - runtime.clock.monotonic()
        if left <= 0:
            return Answer("silent", f"it did not answer within {host.timeout:g} s")
        try:
            return await reception.ask(host, timeout=min(_TRY, left))
        except AskTimeout:
            continue
        except DeliveryError as error:
            return Answer("unreachable", f"no meetings are held there: {error}")


class Gathering:
    """Who was invited, and what they have answered. Pure: answers may come in any order, before anybody waits for them."""

    def __init__(self, required: dict[str, AgentRef], optional: dict[str, AgentRef], quorum: int) -> None:
        self.required = required
        self.guests = {**required, **optional}
        self.quorum = quorum
        self.answers: dict[str, Answer] = {}

    def answer(self, name: str, answer: Answer) -> bool:
        """Note the answer of a guest; the first counts. Return whether this was it."""
        if name in self.answers:
            return False
        self.answers[name] = answer
        return True

    @property
    def coming(self) -> list[str]:
        """Who has accepted so far, in the order in which they were invited."""
        return [name for name in self.guests if name in self.answers and self.answers[name].kind == "accepted"]

    @property
    def open(self) -> dict[str, bool]:
        """Who has not answered yet, and whether it is required."""
        return {name: name in self.required for name in self.guests if name not in self.answers}

    def reasons(self, kind: str) -> dict[str, str]:
        """Return who answered in a certain way, and why."""
        return {name: answer.reason for name, answer in self.answers.items() if answer.kind == kind}

    @property
    def not_coming(self) -> dict[str, str]:
        """Who is not coming, and why."""
        return {name: answer.reason for name, answer in self.answers.items() if answer.kind != "accepted"}

    def verdict(self) -> NotHeld | bool:
        """Return True if the meeting can be held, False if that is not yet known, and otherwise why it is not held."""
        missing = {name: reason for name, reason in self.not_coming.items() if name in self.required}
        if missing:
            kinds = {self.answers[name].kind for name in missing}
            kind = next(each for each in ("declined", "unreachable", "silent") if each in kinds)
            verbs = {"declined": "declined", "silent": "is silent", "unreachable": "cannot be reached"}
            told = "; ".join(f"{name} {verbs[self.answers[name].kind]}: {reason}" for name, reason in missing.items())
            return self._not_held(kind, told)
        if any(required for required in self.open.values()):
            return False
        present = 1 + len(self.coming)
        if present >= self.quorum:
            return True
        if self.open:
            return False
        others = "; ".join(f"{name}: {reason}" for name, reason in self.not_coming.items())
        return self._not_held(
            "quorum", f"{present} of the {self.quorum} that are needed came ({others or 'nobody else was asked'})"
        )

    def _not_held(self, kind: str, reason: str) -> NotHeld:
        return NotHeld(kind, reason, self.reasons("declined"), self.reasons("silent"), self.reasons("unreachable"))
