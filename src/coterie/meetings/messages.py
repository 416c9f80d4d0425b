"""What members and guests are sent. An agent is sent only what it has a handler for; `Invitation` decides who can be a guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.kernel import check_number
from coterie.meetings.minutes.events import AnyEvent
from coterie.meetings.minutes.records import Utterance
from coterie.messaging import Message, Request


class Batch(msgspec.Struct, frozen=True, tag=True):
    """How a member wants utterances in batches: each is waited after for `wait` seconds, all of them `ceiling` at most.

    An utterance that is meant for the member alone or among few, or comes from a person, brings the batch at once; so
    does its own turn.
    """

    wait: float = 0.5
    ceiling: float = 2.0

    def __post_init__(self) -> None:
        check_number("Batch.wait", self.wait, above=0)
        check_number("Batch.ceiling", self.ceiling, least=self.wait)


class Accept(msgspec.Struct, frozen=True, tag=True):
    """The guest comes."""

    batch: Batch | None = None
    """How it wants to be woken; by default for each utterance."""
    person: bool = False
    """Whether it speaks for a person, whose utterances wake those who wait for batches."""


class Decline(msgspec.Struct, frozen=True, tag=True):
    """The guest does not come."""

    reason: str = "it gave no reason"


class Invitation(Request[Accept | Decline | bool]):
    """Somebody invites to a meeting. Answer with `Accept()` or `Decline(reason)`; True and False will do."""

    meeting: str
    """The meeting's id."""
    topic: str
    caller: str
    """Who invites."""
    required: bool
    """Whether the meeting is not held without you."""
    guests: tuple[str, ...] = ()
    """Who else is invited."""
    floor: str = "Open"
    """The name of the policy of the floor."""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What the caller wants you to know."""
    parent: str = ""
    """The meeting in which this one was called; empty if in none."""
    until: float = 0.0
    """By when to answer, in seconds since 1970."""


class Welcome(Message):
    """You are a member from now on; or you are again, after your agent was rebuilt."""

    meeting: str
    topic: str
    members: tuple[str, ...]
    history: tuple[Utterance, ...] = ()
    """All that was said before."""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    again: bool = False
    """Whether you were one before, and have lost what you knew."""


class YourTurn(Message):
    """The floor is yours."""

    meeting: str
    turn: int
    limit: float | None = None
    """Seconds that you have; None for as many as you like."""


class Utterances(Message):
    """A batch of what was said; sent to members that accepted with a `Batch`."""

    meeting: str
    utterances: tuple[Utterance, ...]


class MeetingNews(Message):
    """Something has happened that is no utterance: somebody joined, left, reacted, voted, missed a turn, or the like."""

    meeting: str
    sequence: int
    by: str
    event: AnyEvent


class MeetingEnded(Message):
    """The meeting is over."""

    meeting: str
    topic: str
    outcome: Any = None
    reason: str = ""
    """Why: who closed it, or which rule."""


class MeetingCancelled(Message):
    """A meeting that you were invited to is not held."""

    meeting: str
    topic: str
    reason: str
