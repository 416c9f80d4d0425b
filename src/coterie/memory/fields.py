"""The fields of a value that a filter can test, and the tests.

A value that is a dictionary has fields: its numbers, texts, booleans, times and None, and its lists of them. A field of a dictionary
inside is named with a dot: ``address.city``. Every backend stores or reads the same fields, and tests them alike: a field that
does not exist, or holds another type than the test, does not match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import msgspec

from coterie.errors import InvalidMemory

MAX_TEXT = 1_000
"""The number of characters of a text, and of items of a list, up to which a field can be tested."""
_MAX_DEPTH = 4
_MAPS = frozenset(bytes((first,)) for first in (*range(0x80, 0x90), 0xDE, 0xDF))
"""The first byte of a map in MessagePack."""

_decode = msgspec.msgpack.Decoder().decode

Scalar: TypeAlias = str | int | float | bool | None


class FieldTest(msgspec.Struct, frozen=True):
    """A test of one field. `has`, `any_of`, `at_least` and `at_most` make it; a plain value means that the field equals it."""

    how: str
    """equal, any, has, least or most."""
    values: tuple[Scalar, ...]

    def is_met_by(self, field: Any) -> bool:
        """Return whether a field of a value passes."""
        wanted = self.values[0] if self.values else None
        if self.how == "has":
            return isinstance(field, list) and any(_same(each, wanted) for each in field)
        if isinstance(field, list):
            return False
        if self.how in ("equal", "any"):
            return any(_same(field, each) for each in self.values)
        if kind_of(field) != kind_of(wanted):
            return False
        return bool(field >= wanted if self.how == "least" else field <= wanted)


def has(value: Any) -> FieldTest:
    """Return a test for lists that contain a value. Raises `InvalidMemory`."""
    return FieldTest("has", (_scalar(value),))


def any_of(*values: Any) -> FieldTest:
    """Return the test for a field that equals one of the values. Raises `InvalidMemory`."""
    return FieldTest("any", tuple(map(_scalar, values)))


def at_least(limit: Any) -> FieldTest:
    """Return the test for a number, text or time that is not below a limit. Raises `InvalidMemory`."""
    return FieldTest("least", (_limit(limit),))


def at_most(limit: Any) -> FieldTest:
    """Return the test for a number, text or time that is not above a limit. Raises `InvalidMemory`."""
    return FieldTest("most", (_limit(limit),))


def check_where(where: Any) -> tuple[tuple[str, FieldTest], ...]:
    """Return the tests of a filter by the name of the field; raise `InvalidMemory` if it is none."""
    if where is None:
        return ()
    if not isinstance(where, Mapping):
        raise InvalidMemory("where", where, 'give a dictionary of fields, such as {"speaker": "Ann"}')
    return tuple(_tests(where, "", 1))


def _tests(where: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, FieldTest]]:
    for name, wanted in where.items():
        if not isinstance(name, str) or not name or not _is_text(name):
            raise InvalidMemory("where", name, "a field has a name, in text that can be written as UTF-8")
        if isinstance(wanted, Mapping) and wanted and depth < _MAX_DEPTH:
            yield from _tests(wanted, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", wanted if isinstance(wanted, FieldTest) else FieldTest("equal", (_scalar(wanted),))


def fields_of(body: bytes) -> dict[str, Scalar | list[Scalar]]:
    """Return the fields of a value in MessagePack; empty if it is no dictionary."""
    if body[:1] not in _MAPS:
        return {}
    found: dict[str, Scalar | list[Scalar]] = {}
    _gather(_decode(body), "", 1, found)
    return found


def kind_of(value: Any) -> str:
    """Return the type of a scalar in terms of JSON: number, text, boolean or null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _gather(value: Mapping[Any, Any], prefix: str, depth: int, found: dict[str, Scalar | list[Scalar]]) -> None:
    for key, each in value.items():
        if not isinstance(key, str):
            continue
        name = prefix + key
        if isinstance(each, str):
            # Most fields are texts, and every stored memory comes here.
            if len(each) <= MAX_TEXT:
                found[name] = each.replace("\0", " ")
        elif isinstance(each, dict):
            if depth < _MAX_DEPTH:
                _gather(each, f"{name}.", depth + 1, found)
        elif isinstance(each, list):
            if len(each) <= MAX_TEXT:
                found[name] = [plain for item in each for plain in _plain(item)]
        elif plain := _plain(each):
            found[name] = plain[0]


def _plain(value: Any) -> tuple[Scalar, ...]:
    """Return a scalar as it is stored, or nothing for any other value."""
    if value is None or isinstance(value, bool | int):
        return (value,)
    if isinstance(value, float):
        return (value,) if math.isfinite(value) else ()
    if isinstance(value, str):
        # PostgreSQL stores no NUL in text.
        return (value.replace("\0", " "),) if len(value) <= MAX_TEXT else ()
    return (_moment(value),) if isinstance(value, date) else ()


def _moment(value: date) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return value.isoformat()


def _scalar(value: Any) -> Scalar:
    plain = _plain(value)
    if not plain:
        raise InvalidMemory(
            "where", value, f"compare with a number, a text of up to {MAX_TEXT} characters, True, False, None or a time"
        )
    if isinstance(plain[0], str) and not _is_text(plain[0]):
        raise InvalidMemory("where", value, "give text that can be written as UTF-8")
    return plain[0]


def _is_text(value: str) -> bool:
    """Return whether a text can be written: one with half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _limit(value: Any) -> Scalar:
    plain = _scalar(value)
    if plain is None or isinstance(plain, bool):
        raise InvalidMemory("where", value, "a limit is a number, a text or a time")
    return plain


def _same(field: Any, wanted: Scalar) -> bool:
    return kind_of(field) == kind_of(wanted) and not isinstance(field, list) and bool(field == wanted)
