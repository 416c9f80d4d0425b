"""The results of tools: their form as text, and what a tool's `check` finds out about an interrupted attempt."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
from pydantic import BaseModel

from coterie.errors import describe


class FindingKind(enum.StrEnum):
    """What can be found."""

    DONE = "done"
    NOT_DONE = "not done"
    RESUMABLE = "resumable"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True):
    """What a `check` returns. Built by `done`, `not_done`, `resume` or `unknown`."""

    found: FindingKind
    value: Any = None
    """What the tool would have returned, or why it did not."""

    @classmethod
    def done(cls, value: Any = None) -> Finding:
        """It took effect: the operation has succeeded, and `value` is its result."""
        return cls(FindingKind.DONE, value)

    @classmethod
    def not_done(cls, reason: str = "it was interrupted before it took effect") -> Finding:
        """It did not take effect: the operation has failed for that reason, and may be called again."""
        return cls(FindingKind.NOT_DONE, reason)

    @classmethod
    def resume(cls) -> Finding:
        """It can go on from its checkpoint, or from the start, without harm: it is tried again."""
        return cls(FindingKind.RESUMABLE)

    @classmethod
    def unknown(cls) -> Finding:
        """Not even the check can tell: the user is asked."""
        return cls(FindingKind.UNKNOWN)


def encode_result(value: Any, max_length: int = 0) -> str:
    """Return a result as text: a text as it is, None as nothing, all else as JSON.

    What is over `max_length` characters, unless that is 0, is cut, and says so at its end. Raises whatever the value raises
    when it is looked at, and `TypeError` or `ValueError` for what cannot be written so.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        value.encode()
        text = str(value)
    else:
        text = msgspec.json.encode(value, enc_hook=_plain).decode()
    if max_length and len(text) > max_length:
        return f"{text[:max_length]}\n[cut: the result has {len(text)} characters, and the first {max_length} are shown]"
    return text


def describe_misfit(value: Any, error: Exception) -> str:
    """Return why a result could not be written as text."""
    return f"it returned a {type(value).__name__} that cannot be written as text: {describe(error)}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
