"""What can be kept and shown, whatever it was: so that nothing a model or a tool says can damage the log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from coterie.errors import EncodeFailed
from coterie.kernel import Codec

T = TypeVar("T", bound=msgspec.Struct)

_DEEPEST = 50
"""Levels of nested values; what is deeper is written as text."""
_WORD = 64
"""Bits of an integer that can be kept."""


def plain_text(text: str) -> str:
    """Return a text with a question mark for each character that is none, such as half of a pair."""
    return text.encode(errors="replace").decode()


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value in JSON's terms: keys are texts, and what has no such form is a text that shows it."""
    if value is None or isinstance(value, bool) or _is_number(value):
        return value
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {plain_text(str(key)): plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(each, depth + 1) for each in value]
    return plain_text(str(value))


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that JSON and the log have."""
    if type(value) is int:
        return -(1 << _WORD - 1) <= value < 1 << _WORD
    return type(value) is float and math.isfinite(value)


def keepable(value: T) -> T:
    """Return the value itself if it can be written down, or else one like it that can.

    Raises `EncodeFailed` if there is none such.
    """
    try:
        Codec().encode(value)
    except EncodeFailed:
        try:
            return msgspec.convert(plain(msgspec.to_builtins(value, enc_hook=str)), type(value))
        except (TypeError, ValueError) as error:
            raise EncodeFailed(f"a {type(value).__qualname__}", error) from error
    return value
