"""The values that a meeting's state is made of, and the read-only view of it that policies and conditions get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from coterie.messaging import Message


class MemberLocation(msgspec.Struct, frozen=True):
    """A member of a meeting and the location of its replica."""

    name: str
    """Unique in the meeting."""
    agent: str
    """The address of the member's agent."""
    host: str = msgspec.field(name="where")
    """The address of the replica host that keeps the member's replica."""
    person: bool = False
    """Whether the member speaks for a person."""


class Utterance(Message):
    """A contribution to a meeting. Members with a handler for this type are sent each one addressed to them."""

    meeting: str
    """The meeting's id."""
    sequence: int
    """The sequence number of its log entry."""
    by: str
    """The speaker's name."""
    content: Any
    """Plain data."""
    to: tuple[str, ...] = ()
    """The addressees; empty for all members."""
    kind: str = "said"
    """"said"; in a contract net also "announced", "bid", "awarded" or "reported"."""
    turn: int = 0
    """The number of the turn in which it was made."""
    person: bool = False
    """Whether the speaker is a person."""


class FloorTurn(msgspec.Struct, frozen=True):
    """A turn: the members that have the floor, and for how long."""

    number: int
    """Counted from 1 over the meeting."""
    holders: tuple[str, ...]
    """The members that may speak; empty if the policy decides for each event."""
    since: float
    """When it began, in seconds since 1970."""
    limit: float | None = None
    """Its length in seconds; None for no limit."""
    choosing: bool = False
    """Whether a selector has yet to choose the holder."""

    @property
    def until(self) -> float | None:
        """When it counts as missed; None without a limit or a holder."""
        return None if self.limit is None or not self.holders else self.since + self.limit


class Missed(msgspec.Struct, frozen=True):
    """A turn that its holder did not use."""

    member: str
    turn: int
    reason: str


class Motion(msgspec.Struct, frozen=True):
    """A motion that is put to the vote."""

    by: str
    choices: tuple[str, ...]
    votes: dict[str, str] = {}
    """Choices by member; each member's latest vote counts."""

    @property
    def tally(self) -> dict[str, int]:
        """Return the number of votes for each choice."""
        counts = dict.fromkeys(self.choices, 0)
        for choice in self.votes.values():
            counts[choice] += 1
        return counts


class Reaction(msgspec.Struct, frozen=True):
    """A member's reaction to an event."""

    by: str
    to: int
    """The sequence number of the event."""
    sign: str


class Contract(msgspec.Struct, frozen=True):
    """One task of a contract net and its progress."""

    task: Any
    announced: int
    """The sequence number of its announcement."""
    bids: dict[str, Any] = {}
    """Offers by bidder."""
    winner: str = ""
    result: Any = None
    state: str = "bidding"
    """"bidding", "awarding", "working", "done" or "failed"."""


class UtteranceMatcher(Protocol):
    """A hashable test of utterances."""

    def __hash__(self) -> int: ...

    def matches(self, utterance: Utterance) -> bool:
        """Return whether the utterance passes the test."""


class MeetingView(Protocol):
    """A meeting's state as floor policies and termination conditions read it. `MeetingState` implements it."""

    caller: str
    """The member that called the meeting."""
    turn: FloorTurn
    """The current turn."""
    turns: int
    """The number of turns taken or missed."""
    hands: tuple[str, ...]
    """Members that raised a hand, in that order."""
    order: tuple[str, ...]
    """All present and former members, in the order of joining."""
    members: Mapping[str, MemberLocation]
    """The present members, in the order of joining."""
    bidders: tuple[str, ...]
    """Contract net: members that have yet to bid."""
    contract: Contract | None
    """Contract net: the current task."""
    opened_at: float
    """When the meeting was opened, in seconds since 1970."""
    quiet_since: float
    """When the last utterance was made, or the meeting was opened, in seconds since 1970."""

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All utterances, in order."""

    @property
    def missed(self) -> tuple[Missed, ...]:
        """All missed turns, in order."""

    @property
    def motions(self) -> dict[str, Motion]:
        """All motions with their votes, by text."""

    def first_match(self, wanted: UtteranceMatcher) -> Utterance | None:
        """Return the first utterance that matches; None without one."""
