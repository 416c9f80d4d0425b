"""The parts of a meeting's state."""

from __future__ import annotations

from typing import Any

import msgspec

from coterie.messaging import Message


class Utterance(Message):
    """Something that was said in a meeting. Members that handle this type are sent each one that is meant for them."""

    meeting: str
    """The meeting's id."""
    sequence: int
    """Its place in the minutes."""
    by: str
    """Who said it."""
    content: Any
    """Plain data."""
    to: tuple[str, ...] = ()
    """Whom it is meant for; empty for all."""
    kind: str = "said"
    """"said"; or, on a contract net, "announced", "bid", "awarded", "reported"."""
    turn: int = 0
    """The number of the turn in which it was said."""
    person: bool = False
    """Whether a person said it."""


class Missed(msgspec.Struct, frozen=True):
    """A turn that somebody did not use."""

    member: str
    turn: int
    reason: str


class Motion(msgspec.Struct, frozen=True):
    """Something that is put to the vote."""

    by: str
    choices: tuple[str, ...]
    votes: dict[str, str] = {}
    """Choices by member; the latest of each counts."""

    @property
    def tally(self) -> dict[str, int]:
        """Return how many chose what."""
        counts = dict.fromkeys(self.choices, 0)
        for choice in self.votes.values():
            counts[choice] += 1
        return counts


class Reaction(msgspec.Struct, frozen=True):
    """A sign that somebody gave to something in the minutes."""

    by: str
    to: int
    sign: str
