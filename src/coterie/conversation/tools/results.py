"""The results of tools: their form as text, and the findings of a tool's `check` about an interrupted attempt."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
from pydantic import BaseModel

from coterie.errors import describe


class FindingKind(enum.StrEnum):
    """The kind of a finding."""

    DONE = "done"
    NOT_DONE = "not done"
    RESUMABLE = "resumable"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True):
    """The result of a `check`. Made by `done`, `not_done`, `resume` or `unknown`."""

    found: FindingKind
    value: Any = None
    """The tool's result, or the reason of the failure."""

    @classmethod
    def done(cls, value: Any = None) -> Finding:
        """Return a finding that it took effect: the operation succeeds with the result `value`."""
        return cls(FindingKind.DONE, value)

    @classmethod
    def not_done(cls, reason: str = "it was interrupted before it took effect") -> Finding:
        """Return a finding that it did not take effect: the operation fails for that reason and may be called again."""
        return cls(FindingKind.NOT_DONE, reason)

    @classmethod
    def resume(cls) -> Finding:
        """Return a finding that it can safely run again, from its checkpoint or from the start."""
        return cls(FindingKind.RESUMABLE)

    @classmethod
    def unknown(cls) -> Finding:
        """Return a finding without a decision: the user is asked."""
        return cls(FindingKind.UNKNOWN)


def encode_result(value: Any, max_length: int = 0) -> str:
    """Return a result as text: a string unchanged, None as the empty string, other values as JSON.

    A longer text than `max_length` characters, unless that is 0, is cut, with a note at its end. Raises the exceptions of
    the value itself, and `TypeError` or `ValueError` for a value that cannot be encoded.
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
    """Return the reason why a result cannot be written as text."""
    return f"it returned a {type(value).__name__} that cannot be written as text: {describe(error)}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
