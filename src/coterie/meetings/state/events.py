"""The events of a meeting, and the log entries that hold them."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from coterie.kernel.codec import Packed
from coterie.meetings.state.records import MemberLocation
from coterie.meetings.state.termination import AnyCondition


class MeetingEvent(msgspec.Struct, frozen=True, tag=True):
    """Base of the events. The tag of an event is stored in the minutes and must not change."""


class MeetingOpened(MeetingEvent, frozen=True, tag="Opened"):
    """The meeting is opened; the first entry of every log."""

    topic: str
    caller: str
    members: tuple[MemberLocation, ...]
    """The caller, and the guests that had accepted, in the order in which they were invited."""
    floor: Packed
    """The policy of the floor."""
    invited: dict[str, bool] = {}
    """Guests that have not answered, and whether each is required."""
    declined: dict[str, str] = {}
    """Guests that are not coming, and why."""
    quorum: int = 1
    ending: AnyCondition | None = None
    parameters: dict[str, Any] = {}
    """Plain data from the caller for every member."""
    parent: str = ""
    """The meeting in which this one was called."""
    closes_with_caller: bool = False


class LeaderChanged(MeetingEvent, frozen=True, tag="OrdererChanged"):
    """A new term begins with this entry; its author is the new leader."""


class Invited(MeetingEvent, frozen=True):
    """A member invited a guest."""

    guest: str


class Declined(MeetingEvent, frozen=True):
    """A guest is not coming: it declined, did not answer, or cannot be reached."""

    guest: str
    reason: str


class Joined(MeetingEvent, frozen=True):
    """A guest accepted after the opening and is a member from here on."""

    member: MemberLocation


class Left(MeetingEvent, frozen=True):
    """A member left, or was removed."""

    member: str
    reason: str = ""


class Crashed(MeetingEvent, frozen=True):
    """A member's agent failed and was restarted."""

    member: str
    reason: str = ""


class Spoke(MeetingEvent, frozen=True):
    """A member said something."""

    content: Any
    to: tuple[str, ...] = ()
    """The addressees; empty for all members."""


class Reacted(MeetingEvent, frozen=True):
    """A member reacted to an event."""

    to: int
    """The sequence number of the event."""
    sign: str


class HandRaised(MeetingEvent, frozen=True):
    """A member asks for the floor."""


class HandLowered(MeetingEvent, frozen=True):
    """A member withdraws its request for the floor."""


class TurnGiven(MeetingEvent, frozen=True):
    """The chair, or a selector, gives the floor to a member."""

    member: str
    """The member; empty for all members."""


class TurnPassed(MeetingEvent, frozen=True):
    """The holder of the floor passes."""


class TurnMissed(MeetingEvent, frozen=True):
    """A member did not use its turn in time, and the floor passes on."""

    member: str
    turn: int
    reason: str


class FloorFailed(MeetingEvent, frozen=True):
    """The floor policy raised; the floor went to the next member in the order of joining."""

    reason: str


class MotionPut(MeetingEvent, frozen=True):
    """A motion is put to the vote."""

    motion: str
    choices: tuple[str, ...] = ("yes", "no")


class Voted(MeetingEvent, frozen=True):
    """A member votes, or changes its vote."""

    motion: str
    choice: str


class Announced(MeetingEvent, frozen=True):
    """Contract net: the manager announces a task."""

    task: Any


class Bid(MeetingEvent, frozen=True):
    """Contract net: a member bids for the task; an offer of None declines it."""

    offer: Any = None


class Awarded(MeetingEvent, frozen=True):
    """Contract net: the manager awards the task to a bidder, or withdraws it."""

    to: str
    """The bidder; empty to withdraw the task."""


class Reported(MeetingEvent, frozen=True):
    """Contract net: the winner reports the result."""

    result: Any


class Nested(MeetingEvent, frozen=True):
    """A member called a meeting within this one."""

    meeting: str
    topic: str


class Closed(MeetingEvent, frozen=True):
    """The meeting is closed."""

    outcome: Any = None
    reason: str = ""
    """The rule that closed it; empty if a member did."""


AnyEvent: TypeAlias = (
    MeetingOpened
    | LeaderChanged
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


class LogEntry(msgspec.Struct, frozen=True):
    """One entry of the log, a line of the minutes. Entries are ordered by (term, sequence).

    Sequence numbers are consecutive over all terms.
    """

    term: int = msgspec.field(name="epoch")
    """The leader's term, counted from 1; it grows with each new leader."""
    sequence: int
    """The position in the log, from 1."""
    at: float
    """When the leader appended it, in seconds since 1970."""
    by: str
    """The member whose event it is."""
    id: str
    """The id of the proposal, unique in the meeting, by which repeats are dropped; empty for the leader's own events."""
    event: AnyEvent


class Refusal(msgspec.Struct, frozen=True):
    """The reason for which an event is not appended to the log."""

    kind: str
    """One of "closed", "not-a-member", "not-your-turn", "not-allowed", "invalid", "no-quorum"."""
    text: str
