"""What can happen in a meeting, and how it stands in the minutes."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from coterie.kernel import Packed
from coterie.meetings.ending import Condition


class Place(msgspec.Struct, frozen=True):
    """A member, and where its replica is."""

    name: str
    """Unique in the meeting."""
    agent: str
    """The address of the member's agent."""
    where: str
    """The address of the clerk that keeps the member's replica."""
    person: bool = False
    """Whether the member speaks for a person."""


class Event(msgspec.Struct, frozen=True, tag=True):
    """The base of all that can happen."""


class Opened(Event, frozen=True):
    """The meeting is held; the first event of all minutes."""

    topic: str
    caller: str
    members: tuple[Place, ...]
    """The caller, and who had accepted by then, in the order in which they were invited."""
    floor: Packed
    """The policy of the floor."""
    invited: dict[str, bool] = {}
    """Who has not answered yet, and whether it is required."""
    declined: dict[str, str] = {}
    """Who is not coming, and why."""
    quorum: int = 1
    ending: Condition | None = None
    parameters: dict[str, Any] = {}
    """What the caller gave every member to know."""
    parent: str = ""
    """The meeting in which this one was called."""
    closes_with_caller: bool = False


class OrdererChanged(Event, frozen=True):
    """A new epoch begins: another member orders the events from here on."""


class Invited(Event, frozen=True):
    """Somebody else was invited."""

    guest: str


class Declined(Event, frozen=True):
    """A guest is not coming: it said so, was silent, or cannot be reached."""

    guest: str
    reason: str


class Joined(Event, frozen=True):
    """A guest accepted late, and is a member from here on."""

    member: Place


class Left(Event, frozen=True):
    """A member is none any more."""

    member: str
    reason: str = ""


class Crashed(Event, frozen=True):
    """A member's agent failed and was rebuilt."""

    member: str
    reason: str = ""


class Spoke(Event, frozen=True):
    """Somebody said something."""

    content: Any
    to: tuple[str, ...] = ()
    """Whom it is meant for; empty for all."""


class Reacted(Event, frozen=True):
    """Somebody reacted to an event."""

    to: int
    """The sequence number of the event."""
    sign: str


class HandRaised(Event, frozen=True):
    """Somebody wants to speak."""


class HandLowered(Event, frozen=True):
    """Somebody does not want to speak any more."""


class TurnGiven(Event, frozen=True):
    """The floor is somebody's: the chair gave it, or a selector chose."""

    member: str
    """Whose; empty for everybody's."""


class TurnPassed(Event, frozen=True):
    """Whose turn it is has nothing to say."""


class TurnMissed(Event, frozen=True):
    """Somebody did not use its turn in time, and the floor passes on."""

    member: str
    turn: int
    reason: str


class FloorFailed(Event, frozen=True):
    """The policy of the floor raised; the floor went to the next member in the order of joining."""

    reason: str


class MotionPut(Event, frozen=True):
    """Something is put to the vote."""

    motion: str
    choices: tuple[str, ...] = ("yes", "no")


class Voted(Event, frozen=True):
    """Somebody votes, or changes its vote."""

    motion: str
    choice: str


class Announced(Event, frozen=True):
    """Contract net: the manager announces a task."""

    task: Any


class Bid(Event, frozen=True):
    """Contract net: a member bids for the task; with no offer it does not want it."""

    offer: Any = None


class Awarded(Event, frozen=True):
    """Contract net: the manager gives the task to a bidder, or to nobody."""

    to: str


class Reported(Event, frozen=True):
    """Contract net: who got the task tells how it went."""

    result: Any


class Nested(Event, frozen=True):
    """A member called a meeting within this one."""

    meeting: str
    topic: str


class Closed(Event, frozen=True):
    """The meeting is over."""

    outcome: Any = None
    reason: str = ""
    """Why, if a rule closed it; empty if somebody did."""


AnyEvent: TypeAlias = (
    Opened
    | OrdererChanged
    | Invited
    | Declined
    | Joined
    | Left
    | Crashed
    | Spoke
    | Reacted
    | HandRaised
    | HandLowered
    | TurnGiven
    | TurnPassed
    | TurnMissed
    | FloorFailed
    | MotionPut
    | Voted
    | Announced
    | Bid
    | Awarded
    | Reported
    | Nested
    | Closed
)


class Entry(msgspec.Struct, frozen=True):
    """One line of the minutes. Entries are ordered by (epoch, sequence); sequence numbers go on over epochs."""

    epoch: int
    """Who orders, counted from 1; it grows when another takes over."""
    sequence: int
    """The place in the minutes, from 1."""
    at: float
    """When the orderer took it in, in seconds since 1970."""
    by: str
    """Whose doing it is."""
    id: str
    """What tells a repeated submission from another; unique in the meeting."""
    event: AnyEvent


class Refusal(msgspec.Struct, frozen=True):
    """Why something is not taken into the minutes."""

    kind: str
    """One of "closed", "not-a-member", "not-your-turn", "not-allowed", "invalid", "no-quorum"."""
    text: str
