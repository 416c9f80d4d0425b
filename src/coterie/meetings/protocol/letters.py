"""What replicas send each other, and what they tell whoever runs them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from coterie.meetings.minutes.events import AnyEvent, Entry, Refusal


class Letter(msgspec.Struct, frozen=True, tag=True):
    """The base of all that goes between replicas. Any may be lost, repeated, late or overtaken."""

    epoch: int
    """The newest that the sender knows."""


class Append(Letter, frozen=True):
    """The orderer has these entries, which follow a certain one. Without entries: it is still there."""

    orderer: str
    before: int
    """The sequence number of the entry that they follow; 0 for the beginning."""
    before_epoch: int
    entries: tuple[Entry, ...]
    committed: int
    """Up to here a majority has them."""


class Have(Letter, frozen=True):
    """A member has the entries up to here; or it misses what comes before those that it was sent."""

    sequence: int
    committed: int
    fits: bool
    """Whether what it was sent fitted; if not, it has as much as `sequence` says, and asks for the rest."""


class Poll(Letter, frozen=True):
    """A member would order, in the epoch of this letter."""

    last: int
    """The last entry that it has."""
    last_epoch: int
    committed: int
    trial: bool
    """Whether it only asks who would vote for it, so that one who is cut off disturbs nobody."""


class Ballot(Letter, frozen=True):
    """The answer to a poll of the epoch `polled`."""

    polled: int
    granted: bool
    trial: bool


class Submission(Letter, frozen=True):
    """A member wants something to be taken into the minutes."""

    id: str
    event: AnyEvent


class Ruling(Letter, frozen=True):
    """What became of a submission: the place that it has, or why it is refused."""

    id: str
    sequence: int = 0
    refusal: Refusal | None = None


class Digest(Letter, frozen=True):
    """How far a member is, and what it has come to."""

    committed: int
    digest: str


class Fill(Letter, frozen=True):
    """Entries that are final, for one who misses them."""

    entries: tuple[Entry, ...]


class Resigned(Letter, frozen=True):
    """The orderer has left: somebody else must take over."""


AnyLetter: TypeAlias = Append | Have | Poll | Ballot | Submission | Ruling | Digest | Fill | Resigned


class Send(msgspec.Struct, frozen=True, gc=False):
    """An effect: a letter to another member."""

    to: str
    letter: AnyLetter


class Committed(msgspec.Struct, frozen=True, gc=False):
    """An effect: an entry is final here, and has been folded."""

    entry: Entry
    counts: bool


class Ruled(msgspec.Struct, frozen=True):
    """An effect: what became of a submission of this member."""

    id: str
    sequence: int = 0
    refusal: Refusal | None = None


class Diverged(msgspec.Struct, frozen=True):
    """An effect: another member has come to something else by the same minutes. Only a faulty one does."""

    member: str
    sequence: int


Effect: TypeAlias = Send | Committed | Ruled | Diverged
