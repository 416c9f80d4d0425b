"""What a resolver decides on one intent, and what that does to the world."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.world.intent import Intent


class IntentOutcome(enum.StrEnum):
    """How an intent ends."""

    GRANTED = "granted"
    PARTIAL = "cut"
    REFUSED = "refused"


class Effects(msgspec.Struct, frozen=True, gc=False):
    """What an intent does to a world if it is carried out: keys set, numbers added to keys, keys removed."""

    sets: Mapping[str, Any] = {}
    adds: Mapping[str, float] = {}
    removes: tuple[str, ...] = ()

    def touched(self) -> set[str]:
        """Return the keys that it touches."""
        return {*self.sets, *self.adds, *self.removes}


NOTHING = Effects()


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one intent. Decisions are carried out in the order in which a resolver returns them."""

    intent: Intent
    outcome: IntentOutcome
    effects: Effects = NOTHING
    reason: str = ""
    details: Mapping[str, Any] = {}
    """What else the event is to tell, such as the amount that was granted."""


def granted(intent: Intent, effects: Effects = NOTHING, **details: Any) -> Resolution:
    """Return the decision to carry an intent out as it was meant."""
    return Resolution(intent, IntentOutcome.GRANTED, effects, "", details)


def cut(intent: Intent, effects: Effects, reason: str, **details: Any) -> Resolution:
    """Return the decision to carry an intent out in part, and why."""
    return Resolution(intent, IntentOutcome.PARTIAL, effects, reason, details)


def refused(intent: Intent, reason: str, **details: Any) -> Resolution:
    """Return the decision not to carry an intent out, and why."""
    return Resolution(intent, IntentOutcome.REFUSED, NOTHING, reason, details)
