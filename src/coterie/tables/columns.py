"""Columns of plain values: compact while they grow, and of one type for other libraries."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_CHUNK = 4_096
_MOST = 2**63 - 1
_EXACT = 2**53
"""Whole numbers up to this are exact as fractions too."""


class GrowingColumn:
    """A column that values are appended to. Chunks of whole numbers, and of fractions, take 8 bytes a value."""

    __slots__ = ("_chunks", "_rest")

    def __init__(self) -> None:
        self._chunks: list[Sequence[Any]] = []
        self._rest: list[Any] = []

    def append(self, value: Any) -> None:
        """Append a value."""
        self._rest.append(value)
        if len(self._rest) == _CHUNK:
            self._chunks.append(_compact(self._rest))
            self._rest = []

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._chunks:
            yield from chunk
        yield from self._rest


def _compact(values: list[Any]) -> Sequence[Any]:
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values)
    if kinds == {int} and min(values) >= -_MOST and max(values) <= _MOST:
        return array("q", values)
    return values


def plain(value: Any) -> Any:  # noqa: PLR0911 - a branch for each kind of value
    """Return a copy of a value as plain data: scalars and arrays of NumPy as Python's, tuples as lists, mappings as dicts.

    Raises `TypeError` for other objects.
    """
    if value is None or value.__class__ in (bool, int, float, str, bytes):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=repr)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        return plain(value.tolist())
    if isinstance(value, str):
        return str.__str__(value)
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is not plain data")


def uniform(values: Sequence[Any]) -> list[Any]:
    """Return the values of a column in one type that every library stores; missing values are None.

    Whole numbers and fractions together become fractions. Lists of numbers stay lists. Anything else that is mixed, or nested,
    becomes text: JSON, except of text itself.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} and all(value is None or -_MOST - 1 <= value <= _MOST for value in values):
        return list(values)
    if kinds <= {bool} or kinds <= {float} or kinds <= {str} or kinds <= {bytes}:
        return list(values)
    if kinds == {int, float} and all(not isinstance(value, int) or abs(value) <= _EXACT for value in values):
        return [None if value is None else float(value) for value in values]
    if kinds == {list}:
        inner = [each for value in values if value is not None for each in value]
        if all(type(each) in (int, float) and abs(each) <= _EXACT for each in inner if not _is_nan(each)):
            whole = all(type(each) is int for each in inner)
            return [None if value is None else value if whole else [float(each) for each in value] for value in values]
    return [as_text(value) for value in values]


def kind_of(values: Sequence[Any]) -> type | None:
    """Return the type of the values of a uniform column; None without any value."""
    return next((type(value) for value in values if value is not None), None)


def as_text(value: Any) -> str | None:
    """Return a value as text, nested ones as JSON; None for a missing one."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool) or not isinstance(value, float | int):
        return json.dumps(value, ensure_ascii=False, default=_as_hex)
    return repr(value)


def _as_hex(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a {type(value).__qualname__} is not plain data")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
