"""Values that would lose their class on a wire, because the type of their field does not name it."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

_PLAIN = frozenset({str, int, float, bytes, bool, type(None)})
_CONTAINERS = (Mapping, Sequence, AbstractSet)


def is_loose(hint: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Return whether a type leaves open the class of a part of its values: `Any`, `object`, or a container without a type."""
    if hint is Any or hint is object:
        return True
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if arguments and origin is not typing.Literal:
        return any(is_loose(each, seen) for each in arguments if each is not ...)
    if not isinstance(hint, type) or hint in seen or typing.is_typeddict(hint):
        return False
    if issubclass(hint, (str, bytes)):
        return False
    return issubclass(hint, _CONTAINERS) or any(is_loose(each, seen | {hint}) for _, each in _fields_of(hint))


def lost_in(value: Any, hint: Any) -> Any:
    """Return an object within `value` whose class the type does not name, so that it arrives as plain data; or None."""
    if hint is Any or hint is object:
        return _typed_in(value)
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        named = [each for each in arguments if _is_instance(value, each)]
        return lost_in(value, named[0]) if named else _typed_in(value) if Any in arguments or object in arguments else None
    if not isinstance(origin, type) or not _is_instance(value, origin) or isinstance(value, (str, bytes)):
        return None
    if isinstance(value, _CONTAINERS):
        return _first(lost_in(each, of) for each, of in _parts(value, arguments)) if arguments else _typed_in(value)
    return _first(lost_in(getattr(value, name), of) for name, of in _fields_of(origin))


def is_same(value: Any, copy: Any) -> bool:
    """Return whether a copy equals its value. Unlike `==`, this takes two objects with the same fields, and two NaN, for equal."""
    try:
        if value == copy:
            return True
    except Exception:  # noqa: BLE001 - the comparison is code of the user
        return False
    kind = type(value)
    if kind is not type(copy):
        same = False
    elif kind is float:
        same = value != value and copy != copy  # noqa: PLR0124 - NaN alone differs from itself
    elif kind is dict:
        same = value.keys() == copy.keys() and all(is_same(each, copy[key]) for key, each in value.items())
    elif kind in (list, tuple):
        same = len(value) == len(copy) and all(map(is_same, value, copy))
    else:
        fields = _fields_of(kind)
        same = bool(fields) and all(is_same(getattr(value, name), getattr(copy, name)) for name, _ in fields)
    return same


def _parts(value: Any, arguments: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key, arguments[0]
            yield each, arguments[-1]
    elif isinstance(value, tuple) and arguments[-1] is not ...:
        yield from zip(value, arguments, strict=False)
    else:
        for each in value:
            yield each, arguments[0]


def _typed_in(value: Any) -> Any:
    """Return a part of a value that arrives as plain data where its type is left open, or None."""
    pending = [value]
    while pending:
        each = pending.pop()
        kind = type(each)
        if kind in _PLAIN:
            continue
        if kind is dict or isinstance(each, Mapping):
            pending.extend(each.keys())
            pending.extend(each.values())
        elif kind in (list, tuple, set, frozenset):
            pending.extend(each)
        elif (
            isinstance(each, msgspec.Struct)
            or dataclasses.is_dataclass(kind)
            or (isinstance(each, enum.Enum) and not isinstance(each, (str, int)))
        ):
            return each
    return None


def _first(found: Iterator[Any]) -> Any:
    return next((each for each in found if each is not None), None)


def _is_instance(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    if not isinstance(origin, type) or origin is object or typing.is_typeddict(origin):
        return False
    try:
        return isinstance(value, origin)
    except TypeError:
        # A protocol that cannot be checked at runtime.
        return False


def _fields_of(kind: type) -> list[tuple[str, Any]]:
    if not (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)):
        return []
    return (
        list(typing.get_type_hints(kind).items())
        if dataclasses.is_dataclass(kind)
        else [(name, hint) for name, hint in typing.get_type_hints(kind).items() if name in kind.__struct_fields__]
    )
