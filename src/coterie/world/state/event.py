"""Events: the entries of a world's log."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class EventKind(enum.StrEnum):
    """The kinds of events that the world itself makes. Users may give other kinds, of any name."""

    BEGAN = "began"
    """The first event of a world, with its initial state."""
    GRANTED = "granted"
    """An intent was granted in full."""
    PARTIAL = "cut"
    """An intent was granted in part; see the reason."""
    REFUSED = "refused"
    """An intent was refused; see the reason."""
    CHANGED = "changed"
    """The world was changed from outside."""
    EXPIRED = "expired"
    """Keys expired."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log. Immutable; do not change its mappings either.

    A world is the fold of its events: `changes` are set, `removed` keys are removed; other fields do not affect the state.
    """

    sequence: int
    """The position in the log, from 1, without gaps."""
    kind: str
    """One of `EventKind`, or a kind of the user."""
    agent: str = ""
    """The agent of the intent; empty without an intent."""
    action: str = ""
    """The action of the intent."""
    reason: str = ""
    """The reason of a partial or refused intent."""
    changes: Mapping[str, Any] = {}
    """The new values of changed keys."""
    removed: tuple[str, ...] = ()
    """Removed keys."""
    expires: Mapping[str, float] = {}
    """Times at which set keys expire, in seconds of the world's time."""
    details: Mapping[str, Any] = {}
    """Further data, such as requested and granted amounts."""
    round: int = 0
    """The round of the intent; 0 outside of rounds."""
    stage: int = 0
    """The position of the stage in the graph; 0 outside of rounds."""
    time: float = 0.0
    """The world's time, in seconds."""
