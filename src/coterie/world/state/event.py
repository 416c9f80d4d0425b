"""What happened to a world: the one thing that its log is made of."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class EventKind(enum.StrEnum):
    """What kinds of events the world itself makes. Others, of any name, come from those who use it."""

    BEGAN = "began"
    """The world's first event: what it began with."""
    GRANTED = "granted"
    """An intent was carried out as it was meant."""
    PARTIAL = "cut"
    """An intent was carried out in part; the reason says why."""
    REFUSED = "refused"
    """An intent was not carried out; the reason says why."""
    CHANGED = "changed"
    """The world was changed from outside."""
    EXPIRED = "expired"
    """Keys had reached their time."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened, as it is in the log. Immutable; what its mappings hold is not to be changed.

    A world is the fold of its events: `changes` are set, `removed` is removed, nothing else counts.
    """

    sequence: int
    """Its place in the log, counted from 1, without gaps."""
    kind: str
    """One of `EventKind`, or what the one who caused it calls it."""
    agent: str = ""
    """Whose intent it was; empty for nobody's."""
    action: str = ""
    """What was intended."""
    reason: str = ""
    """Why it was cut or refused."""
    changes: Mapping[str, Any] = {}
    """Keys and what they are since."""
    removed: tuple[str, ...] = ()
    """Keys that are no more."""
    expires: Mapping[str, float] = {}
    """When what was set expires, on the world's time, in seconds."""
    details: Mapping[str, Any] = {}
    """What else is to be told: what was asked for, what was granted."""
    round: int = 0
    """The round in which it was intended; 0 outside of rounds."""
    stage: int = 0
    """The place of its stage in the graph; 0 outside of rounds."""
    time: float = 0.0
    """The world's time, in seconds."""
