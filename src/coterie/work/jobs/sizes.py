"""Estimates of the memory that a result holds, for bounds by bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

_SAMPLE = 256
"""Objects to look at; the size of the others is extrapolated."""
_SMALL = 64
"""Assumed bytes of an object whose size cannot be read."""
_ATOMS = frozenset({type(None), bool, int, float})


def size_of(value: object) -> int:
    """Return the approximate bytes of a value, its elements and attributes included.

    Looks at a bounded number of objects, so that a large list costs no more than a small one.
    """
    if type(value) in _ATOMS:
        return 0
    seen: set[int] = set()
    return _size(value, seen)


def _size(value: object, seen: set[int]) -> int:
    if id(value) in seen or len(seen) >= _SAMPLE:
        return 0
    seen.add(id(value))
    try:
        size = sys.getsizeof(value)
    except Exception:  # noqa: BLE001 - a __sizeof__ may raise anything, and this is an estimate
        return _SMALL
    if isinstance(value, str | bytes | bytearray) or type(value) in _ATOMS:
        return size
    elements, count = _elements(value)
    looked = added = 0
    for each in elements:
        if len(seen) >= _SAMPLE:
            break
        looked += 1
        added += _size(each, seen)
    return size + (added * count // looked if looked else 0)


def _elements(value: Any) -> tuple[Iterable[object], int]:
    """Return the parts of a value, and their number."""
    if type(value) is dict:
        return (each for pair in value.copy().items() for each in pair), 2 * len(value)
    if type(value) in (list, tuple, set, frozenset):
        return value.copy() if isinstance(value, list | set) else value, len(value)
    if isinstance(value, BaseException):
        return (value.args, vars(value)), 2
    held = getattr(value, "__dict__", None)
    if type(held) is dict:
        return (held,), 1
    names = getattr(type(value), "__slots__", ())
    if not isinstance(names, tuple):
        return (), 0
    return (getattr(value, name, None) for name in names), len(names)
