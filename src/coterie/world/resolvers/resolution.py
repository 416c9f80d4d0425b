"""Resolutions: the decision on one intent, its effects on the world, and the contract of resolvers."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Protocol

import msgspec

from coterie.world.intent import Intent


class IntentOutcome(enum.StrEnum):
    """The outcome of an intent."""

    GRANTED = "granted"
    PARTIAL = "cut"
    REFUSED = "refused"


class Effects(msgspec.Struct, frozen=True, gc=False):
    """The effects of a granted intent: keys to set, numbers to add to keys, keys to remove."""

    sets: Mapping[str, Any] = {}
    adds: Mapping[str, float] = {}
    removes: tuple[str, ...] = ()
    ttl: float | None = None
    """Seconds of the world's time after which the keys that are set or added to expire; None for never."""

    def touched(self) -> set[str]:
        """Return the affected keys."""
        return {*self.sets, *self.adds, *self.removes}


NOTHING = Effects()


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """The decision on one intent. The world applies resolutions in the order in which a resolver returns them."""

    intent: Intent
    outcome: IntentOutcome
    effects: Effects = NOTHING
    reason: str = ""
    details: Mapping[str, Any] = {}
    """Further data for the event, such as the granted amount."""


def granted(intent: Intent, effects: Effects = NOTHING, **details: Any) -> Resolution:
    """Return the resolution that grants an intent in full."""
    return Resolution(intent, IntentOutcome.GRANTED, effects, "", details)


def cut(intent: Intent, effects: Effects, reason: str, **details: Any) -> Resolution:
    """Return the resolution that grants an intent in part, with the reason."""
    return Resolution(intent, IntentOutcome.PARTIAL, effects, reason, details)


def refused(intent: Intent, reason: str, **details: Any) -> Resolution:
    """Return the resolution that refuses an intent, with the reason."""
    return Resolution(intent, IntentOutcome.REFUSED, NOTHING, reason, details)


class Resolver(Protocol):
    """Decides intents that were made for the same moment. A plain function is a resolver.

    It must be pure: equal views, intents and random streams give equal resolutions. It receives the intents in their
    canonical order (see `in_order`) and returns one resolution for each, in the order of their application. It runs on
    the committing thread and must not change the world.
    """

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random, /) -> Sequence[Resolution]:
        """Return one resolution for each of `intents`."""
        ...
