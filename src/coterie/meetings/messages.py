"""The messages to members and guests. An agent is sent only those it has a handler for; guests need one for `Invitation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.kernel import check_number
from coterie.meetings.state.events import AnyEvent
from coterie.meetings.state.records import Utterance
from coterie.messaging import Message, Request


class Batch(msgspec.Struct, frozen=True, tag=True):
    """Delivery of utterances in batches: `wait` seconds after the last one, `ceiling` seconds after the first at most.

    An utterance with addressees, or by a person, sends the batch at once; so does the member's own turn. Raises
    `InvalidSetting`.
    """

    wait: float = 0.5
    ceiling: float = 2.0

    def __post_init__(self) -> None:
        check_number("Batch.wait", self.wait, above=0)
        check_number("Batch.ceiling", self.ceiling, least=self.wait)


class Accept(msgspec.Struct, frozen=True, tag=True):
    """Accept an invitation."""

    batch: Batch | None = None
    """Deliver utterances in batches; by default one by one."""
    person: bool = False
    """Whether the guest speaks for a person, whose utterances send batches at once."""


class Decline(msgspec.Struct, frozen=True, tag=True):
    """Decline an invitation."""

    reason: str = "it gave no reason"


class Invitation(Request[Accept | Decline | bool]):
    """An invitation to a meeting. Answer with `Accept()` or `Decline(reason)`, or with True or False."""

    meeting: str
    """The meeting's id."""
    topic: str
    caller: str
    """The name of the member that invites."""
    required: bool
    """Whether the meeting is held only if you accept."""
    guests: tuple[str, ...] = ()
    """The names of all guests."""
    floor: str = "Open"
    """The name of the floor policy."""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Plain data from the caller."""
    parent: str = ""
    """The id of the meeting in which this one was called; empty without one."""
    until: float = 0.0
    """The deadline for the answer, in seconds since 1970."""


class Welcome(Message):
    """You are a member from now on, or again after a restart of your agent."""

    meeting: str
    topic: str
    members: tuple[str, ...]
    history: tuple[Utterance, ...] = ()
    """All earlier utterances."""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    again: bool = False
    """Whether your agent was restarted as a member."""


class YourTurn(Message):
    """You have the floor."""

    meeting: str
    turn: int
    limit: float | None = None
    """The seconds for this turn; None for no limit."""


class Utterances(Message):
    """A batch of utterances; sent to members that accepted with a `Batch`."""

    meeting: str
    utterances: tuple[Utterance, ...]


class MeetingNews(Message):
    """An event other than an utterance: a member joined, left, reacted, voted, missed a turn, and so on."""

    meeting: str
    sequence: int
    by: str
    """The member whose event it is."""
    event: AnyEvent


class MeetingEnded(Message):
    """The meeting is over for you."""

    meeting: str
    topic: str
    outcome: Any = None
    reason: str = ""
    """The member or the rule that closed it."""


class MeetingCancelled(Message):
    """A meeting that you were invited to is not held, or was over before you joined."""

    meeting: str
    topic: str
    reason: str
