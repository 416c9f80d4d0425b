"""Columns: one number for each of many names, as one value of a world. Needs the extra ``simulation`` (NumPy)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from coterie.errors import ExtraMissing, InvalidValue

EXTENSION = 2
"""The code of a column among the extension types of MessagePack."""
_KINDS = {"b": "?", "i": "<i8", "u": "<i8", "f": "<f8"}
"""The stored type of the elements, by the kind of the given type."""
_MOST = 2**63 - 1


class Rows:
    """The names of the rows of columns, sorted, and their places. Immutable, and shared by columns."""

    __slots__ = ("_hashes", "_places", "names", "numbered")

    def __init__(self, names: Sequence[str], numbered: tuple[str, int] | None = None) -> None:
        self.names = tuple(names)
        self.numbered = numbered
        """The beginning of the names and their number, if they are numbered from 1: they are then stored by these two alone."""
        self._places: dict[str, int] | None = None
        self._hashes: Any = None

    @staticmethod
    def of(names: Sequence[str]) -> Rows:
        """Return rows of these names. Raises `InvalidValue` unless they are sorted, different, and text."""
        given: tuple[Any, ...] = tuple(names)
        for before, name in zip(("", *given), given, strict=False):
            if not isinstance(name, str) or "/" in name:
                raise InvalidValue(name, "the names of the rows of a column are text without '/'")
            if name <= before:
                raise InvalidValue(
                    name, f"the names of the rows of a column are sorted and different, but it follows {before!r}"
                )
        return _rows(given)

    @staticmethod
    def numbers(start: str, count: int) -> Rows:
        """Return rows that are numbered from 1, with leading zeros, so that their order is that of the numbers."""
        return _numbered(start, count)

    @property
    def places(self) -> Mapping[str, int]:
        """The place of each name."""
        if self._places is None:
            # Two threads may do this at the same time, with the same result.
            self._places = {name: place for place, name in enumerate(self.names)}
        return self._places

    @property
    def hashes(self) -> Any:
        """A 64-bit hash of each name, as an array: the source of the draws of its agent."""
        if self._hashes is None:
            text = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in self.names)
            self._hashes = numpy().frombuffer(text, dtype="<u8")
        return self._hashes

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Rows) and self.names == other.names)

    def __hash__(self) -> int:
        return hash(self.names)

    def __deepcopy__(self, memo: object) -> Rows:
        return self


class Column(Mapping[str, Any]):
    """Numbers by name, in an array. Immutable; an ordinary mapping to its readers.

    ::

        world = World({"wealth": Column(names, 1)})
        world.view()["wealth"]["ada"], world.view()["wealth/ada"]  # both are 1

    A world that has a column under ``wealth`` has its elements under ``wealth/ada``: intents change them as any key. `values` is an
    array, a list, or one value for all: whole numbers, fractions, or truth values. Raises `InvalidValue` for another length or type,
    and for NaN, and names the row.
    """

    __slots__ = ("_digest", "array", "rows")

    def __init__(self, names: Rows | Sequence[str], values: Any) -> None:
        self.rows = names if isinstance(names, Rows) else Rows.of(names)
        self.array = checked(self.rows, values, "column")
        """The values, read-only, in the order of the names: int64, float64 or bool."""
        self._digest: bytes | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rows, sorted."""
        return self.rows.names

    @property
    def digest(self) -> bytes:
        """A hash of names, type and values, worked out once."""
        if self._digest is None:
            self._digest = hashlib.blake2b(encode(self), digest_size=32).digest()
        return self._digest

    def __getitem__(self, name: str) -> Any:
        return self.array[self.rows.places[name]].item()

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows.names)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        return name in self.rows.places

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Column):
            same = self.array.dtype == other.array.dtype and self.rows == other.rows
            return same and bool((self.array == other.array).all())
        return Mapping.__eq__(self, other)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Column of {len(self)} {self.array.dtype} values>"

    def __copy__(self) -> Column:
        return self

    def __deepcopy__(self, memo: object) -> Column:
        return self


class ColumnDraft:
    """A column that is being changed, element by element. Used by one thread."""

    __slots__ = ("_array", "_column")

    def __init__(self, column: Column) -> None:
        self._column = column
        self._array: Any = None

    def get(self, name: str, default: Any) -> Any:
        """Return the current value of an element, or `default`."""
        place = self._column.rows.places.get(name)
        return default if place is None else (self._column.array if self._array is None else self._array)[place].item()

    def set(self, key: str, name: str, value: Any) -> None:
        """Set an element. Raises `InvalidValue` for a row that is missing, and for a value of another type."""
        column = self._column
        place = column.rows.places.get(name)
        if place is None:
            raise InvalidValue(key, f"the column has no row {name!r}")
        kind = column.array.dtype.kind
        fits = value.__class__ is bool if kind == "b" else value.__class__ is int or (kind == "f" and value.__class__ is float)
        if not fits or (kind == "i" and not -_MOST <= value <= _MOST) or value != value:  # noqa: PLR0124 - NaN
            raise InvalidValue(key, f"{value!r} does not fit a column of {column.array.dtype}")
        if self._array is None:
            self._array = column.array.copy()
        self._array[place] = value

    def column(self) -> Column:
        """Return the result."""
        return self._column if self._array is None else made(self._column.rows, self._array)


def made(rows: Rows, array: Any) -> Column:
    """Return a column of an array that nobody else holds and that is known to fit."""
    column = Column.__new__(Column)
    array.setflags(write=False)
    column.rows, column.array, column._digest = rows, array, None  # noqa: SLF001 - its own class
    return column


def checked(rows: Rows, values: Any, key: str) -> Any:
    """Return a read-only array of the stored type with a value for each row. Raises `InvalidValue`, which names the row."""
    np = numpy()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InvalidValue(key, f"it is no array: {error}") from error
    if array.dtype.kind not in _KINDS:
        raise InvalidValue(key, f"an array of {array.dtype} is not one of whole numbers, fractions or truth values")
    if array.ndim == 0:
        array = np.full(len(rows), array)
    if array.shape != (len(rows),):
        shape = len(array) if array.ndim == 1 else f"the shape {array.shape} instead of"
        raise InvalidValue(key, f"the array has {shape} values, but there are {len(rows)} rows; give one for each")
    if array.dtype.kind == "f" and bool(np.isnan(array).any()):
        raise InvalidValue(key, f"NaN does not equal itself; it is the value of {rows.names[int(np.isnan(array).argmax())]}")
    if array.dtype.kind == "u" and len(array) and int(array.max()) > _MOST:
        raise InvalidValue(key, f"{int(array.max())} is beyond 63 bits")
    stored = np.array(array, dtype=_KINDS[array.dtype.kind], copy=True)
    stored.setflags(write=False)
    return stored


def encode(column: Column) -> bytes:
    """Return a column as bytes."""
    rows = column.rows
    names: Any = list(rows.numbered) if rows.numbered is not None else list(rows.names)
    return msgspec.msgpack.encode([rows.numbered is not None, names, column.array.dtype.str, column.array.tobytes()])


def decode(data: bytes | memoryview) -> Column:
    """Return the column that `encode` was given. Raises `ValueError` for other bytes."""
    numbered, names, kind, body = msgspec.msgpack.decode(data)
    rows = Rows.numbers(*names) if numbered else _rows(tuple(names))
    if kind not in ("|b1", "<i8", "<f8"):
        raise ValueError(f"a column has no type {kind!r}")
    array = numpy().frombuffer(body, dtype=kind)
    if len(array) != len(rows):
        raise ValueError(f"a column of {len(rows)} rows has {len(array)} values")
    return made(rows, array)


@lru_cache(maxsize=64)
def _rows(names: tuple[str, ...]) -> Rows:
    return Rows(names)


@lru_cache(maxsize=64)
def _numbered(start: str, count: int) -> Rows:
    wide = len(str(count))
    return Rows([f"{start}{number:0{wide}}" for number in range(1, count + 1)], (start, count))


@lru_cache(maxsize=1)
def numpy() -> Any:
    """Return the module of NumPy. Raises `ExtraMissing`."""
    try:
        import numpy as np  # noqa: PLC0415 - it is optional
    except ImportError as error:
        raise ExtraMissing("a column", "simulation") from error
    return np
