"""What a tool's own check has found out about an attempt that nobody saw end."""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Found(enum.StrEnum):
    """What can be found."""

    DONE = "done"
    NOT_DONE = "not done"
    RESUMABLE = "resumable"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True):
    """What a `check` returns. Built by `done`, `not_done`, `resume` or `unknown`."""

    found: Found
    value: Any = None
    """What the tool would have returned, or why it did not."""

    @classmethod
    def done(cls, value: Any = None) -> Finding:
        """It took effect: the operation has succeeded, and `value` is its result."""
        return cls(Found.DONE, value)

    @classmethod
    def not_done(cls, reason: str = "it was interrupted before it took effect") -> Finding:
        """It did not take effect: the operation has failed for that reason, and may be called again."""
        return cls(Found.NOT_DONE, reason)

    @classmethod
    def resume(cls) -> Finding:
        """It can go on from its checkpoint, or from the start, without harm: it is tried again."""
        return cls(Found.RESUMABLE)

    @classmethod
    def unknown(cls) -> Finding:
        """Not even the check can tell: the user is asked."""
        return cls(Found.UNKNOWN)
