"""What a world may hold: plain data, frozen, with one form as bytes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import immutables
import msgspec

from coterie.errors import InvalidValue

_SIMPLE = frozenset((str, bool, bytes, type(None)))
_LEAST, _MOST = -(2**63), 2**64 - 1
"""The whole numbers that have a form as bytes."""
_DEEPEST = 64
"""Levels of nesting; what is deeper is a mistake, or a circle."""


def freeze(value: Any, key: object = "", depth: int = 0) -> Any:  # noqa: C901 - one branch for each kind of value
    """Return a value that nobody can change: lists as tuples, mappings as `immutables.Map`, numbers and text as they are.

    Raises `InvalidValue`, which names `key`, for what is no plain data: sets, objects, numbers without an equal.
    """
    kind = value.__class__
    if kind in _SIMPLE:
        return value if kind is not str or value.isascii() else _encodable(value, key)
    if kind is int:
        if not _LEAST <= value <= _MOST:
            raise InvalidValue(key, f"{value} is beyond 64 bits")
        return value
    if kind is float:
        if math.isnan(value):
            raise InvalidValue(key, "NaN equals nothing, not even itself")
        return value
    if depth > _DEEPEST:
        raise InvalidValue(key, f"it is nested more than {_DEEPEST} levels deep, perhaps in itself")
    if isinstance(value, list | tuple):
        return tuple(freeze(each, key, depth + 1) for each in value)
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidValue(key, f"{name!r} in a mapping is a {type(name).__qualname__}, and keys are text")
        return immutables.Map({freeze(name, key): freeze(each, key, depth + 1) for name, each in value.items()})
    if isinstance(value, bool | int | float | str | bytes):
        # A subclass, such as an enumeration: what it is beside its value would be lost on the way to the disk.
        return freeze(bare(value), key)
    raise InvalidValue(key, f"a {kind.__module__}.{kind.__qualname__} is no plain data")


def thaw(value: Any) -> Any:
    """Return a frozen value as ordinary lists and dicts."""
    if isinstance(value, tuple):
        return [thaw(each) for each in value]
    if isinstance(value, Mapping):
        return {name: thaw(each) for name, each in value.items()}
    return value


def fits(value: Any, key: object) -> Any:
    """Return a value frozen, as `freeze` does, but let pass what is no number at all: it can be recorded, if not kept."""
    return value if value.__class__ is float else freeze(value, key)


def as_key(key: Any) -> str:
    """Return a key, which is text that is not empty. Raises `InvalidValue`."""
    if not isinstance(key, str) or not key:
        raise InvalidValue(key, "it is no key")
    return str(freeze(key, key))


def bare(value: Any) -> Any:
    """Return the value of a member of an enumeration, or of another subclass, as an ordinary number or text."""
    for kind in (int, float, str, bytes):
        if isinstance(value, kind):
            return kind.__call__(value) if kind is not str else str.__str__(value)
    return value


def _encodable(text: str, key: object) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(key, f"{text!r} has half of a surrogate pair, which no encoding has") from error
    return text


def _as_dict(value: Any) -> Any:
    if isinstance(value, immutables.Map):
        return dict(value)
    raise TypeError(f"a {type(value).__qualname__} is no plain data")


encoder = msgspec.msgpack.Encoder(enc_hook=_as_dict, order="deterministic")
"""Writes values, and what is made of them, in their one form: the same value, the same bytes."""


def fingerprint(key: str, value: Any, deadline: float | None) -> int:
    """Return 256 bits that stand for one entry of a world."""
    return int.from_bytes(hashlib.blake2b(encoder.encode((key, value, deadline)), digest_size=32).digest(), "big")
