"""Asking a guest on any node, and the guests' responses together."""

from __future__ import annotations

from typing import Any

from coterie.errors import AskTimeout, DeliveryError, HandlerFailed, Unhandled
from coterie.kernel import Clock
from coterie.meetings.host.messages import HostReplica, InvitationReply, NotHeld
from coterie.meetings.messages import Accept, Decline, Invitation
from coterie.runtime import AgentRef

_TRY = 2.0
"""Seconds after which another node is asked again, because messages get lost."""


async def ask_local_guest(guest: AgentRef, invitation: Invitation, timeout: float) -> InvitationReply:
    """Invite a guest on this node, and return its reply; without one in `timeout` seconds, return the reason."""
    try:
        answer: Any = await guest.ask(invitation, timeout=timeout)
    except DeliveryError as error:
        return _failed(error, timeout)
    if isinstance(answer, bool):
        answer = Accept() if answer else Decline()
    if isinstance(answer, Accept):
        return InvitationReply("accepted", accepted=answer)
    if isinstance(answer, Decline):
        return InvitationReply("declined", answer.reason)
    return InvitationReply("declined", f"its handler returned {answer!r}, which is neither Accept() nor Decline(reason)")


def _failed(error: DeliveryError, timeout: float) -> InvitationReply:
    if isinstance(error, AskTimeout):
        return InvitationReply("silent", f"it did not answer within {timeout:g} s")
    if isinstance(error, Unhandled):
        return InvitationReply("declined", "it has no handler for Invitation")
    if isinstance(error, HandlerFailed):
        return InvitationReply("declined", f"its handler failed: {error.reason}")
    return InvitationReply("unreachable", str(error))


async def ask_remote_guest(service: AgentRef, request: HostReplica, clock: Clock) -> InvitationReply:
    """Invite a guest on another node through the invitation service there. It asks repeatedly, for replies may be lost."""
    deadline = clock.monotonic() + request.timeout
    while True:
        left = deadline - clock.monotonic()
        if left <= 0:
            return InvitationReply("silent", f"it did not answer within {request.timeout:g} s")
        try:
            return await service.ask(request, timeout=min(_TRY, left))
        except AskTimeout:
            continue
        except DeliveryError as error:
            return InvitationReply("unreachable", f"no meetings are held there: {error}")


class InvitationResponses:
    """The invited guests and their replies. Pure: replies may come in any order, and before the caller waits for them."""

    def __init__(self, required: dict[str, AgentRef], optional: dict[str, AgentRef], quorum: int) -> None:
        self.required = required
        self.guests = {**required, **optional}
        self.quorum = quorum
        self.replies: dict[str, InvitationReply] = {}

    def add(self, name: str, reply: InvitationReply) -> bool:
        """Note a guest's reply. Return whether it is the guest's first, which alone counts."""
        if name in self.replies:
            return False
        self.replies[name] = reply
        return True

    @property
    def coming(self) -> list[str]:
        """Guests that have accepted, in the order in which they were invited."""
        return [name for name in self.guests if name in self.replies and self.replies[name].kind == "accepted"]

    @property
    def open(self) -> dict[str, bool]:
        """Guests that have not replied, and whether each is required."""
        return {name: name in self.required for name in self.guests if name not in self.replies}

    @property
    def not_coming(self) -> dict[str, str]:
        """Guests that are not coming, and why."""
        return {name: reply.reason for name, reply in self.replies.items() if reply.kind != "accepted"}

    def verdict(self) -> NotHeld | bool:
        """Return True if the meeting can be held, False if that is not known yet, and otherwise why it is not held."""
        missing = {name: reason for name, reason in self.not_coming.items() if name in self.required}
        if missing:
            kinds = {self.replies[name].kind for name in missing}
            kind = next(each for each in ("declined", "unreachable", "silent") if each in kinds)
            verbs = {"declined": "declined", "silent": "is silent", "unreachable": "cannot be reached"}
            told = "; ".join(f"{name} {verbs[self.replies[name].kind]}: {reason}" for name, reason in missing.items())
            return self._not_held(kind, told)
        if any(required for required in self.open.values()):
            return False
        present = 1 + len(self.coming)
        if present >= self.quorum:
            return True
        if self.open:
            return False
        others = "; ".join(f"{name}: {reason}" for name, reason in self.not_coming.items())
        return self._not_held("quorum", f"{present} of the {self.quorum} required members came ({others or 'no guests'})")

    def _not_held(self, kind: str, reason: str) -> NotHeld:
        return NotHeld(kind, reason, self._reasons("declined"), self._reasons("silent"), self._reasons("unreachable"))

    def _reasons(self, kind: str) -> dict[str, str]:
        return {name: reply.reason for name, reply in self.replies.items() if reply.kind == kind}
