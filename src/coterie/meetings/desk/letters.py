"""What clerks, receptionists and members' handles tell each other."""

from __future__ import annotations

import msgspec

from coterie.kernel import Packed
from coterie.meetings.messages import Accept, Invitation
from coterie.meetings.minutes.events import AnyEvent, Place, Refusal
from coterie.meetings.protocol.letters import AnyLetter
from coterie.messaging import Message, Request
from coterie.runtime import AgentRef


class Post(msgspec.Struct, frozen=True):
    """A letter from one replica to another."""

    to: str
    by: str
    letter: AnyLetter


class Mail(Message):
    """Letters for replicas that this clerk keeps."""

    where: str
    """The address of the clerk that sends them, for a member that has no minutes yet knows nobody's."""
    posts: tuple[Post, ...]


class Tick(Message):
    """Something is due."""


class Answered(msgspec.Struct, frozen=True):
    """What became of a submission."""

    sequence: int = 0
    refusal: Refusal | None = None


class Submit(Request[Answered]):
    """A member wants something to be taken into the minutes."""

    member: str
    event: AnyEvent
    patience: float
    """Seconds after which it is given up."""


class NotHeld(msgspec.Struct, frozen=True):
    """Why a meeting is not held."""

    kind: str
    """One of "declined", "silent", "unreachable", "quorum", "closed"."""
    reason: str
    declined: dict[str, str] = {}
    silent: dict[str, str] = {}
    unreachable: dict[str, str] = {}


class Hold(Request[NotHeld | None]):
    """Invite those who are to be invited, and open the meeting."""


class Invite(Request[NotHeld | None]):
    """Invite somebody to a meeting that is being held."""

    member: str
    """Who invites."""
    guest: AgentRef
    name: str
    timeout: float


class Answer(msgspec.Struct, frozen=True):
    """How a guest answered."""

    kind: str
    """"accepted", "declined", "silent" or "unreachable"."""
    reason: str = ""
    accepted: Accept | None = None
    place: Place | None = None


class Host(Request[Answer]):
    """Ask a guest that lives on this node, and keep its replica if it comes."""

    guest: AgentRef
    name: str
    """What it is called in the meeting."""
    invitation: Invitation
    floor: Packed
    timeout: float


class CallOff(Message):
    """A meeting is not held: tell its guests on this node, and forget it."""

    meeting: str
    topic: str
    reason: str
    guests: tuple[AgentRef, ...]
