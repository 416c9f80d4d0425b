"""Snapshots: the protocol of objects that can be saved and restored, and deep copies that share nothing mutable."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import types
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import msgspec


@runtime_checkable
class Checkpointable(Protocol):
    """An object whose state can be saved and restored."""

    def snapshot(self) -> Any:
        """Return the state as a plain value. The caller copies it."""
        ...

    def restore(self, state: Any) -> None:
        """Replace the state by one that `snapshot` returned, perhaps of another instance of the same class."""
        ...


_ATOMS = (
    int,
    float,
    complex,
    bool,
    str,
    bytes,
    type(None),
    type(...),
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    range,
)


_PLAIN = (*_ATOMS, dt.date, dt.time, dt.timedelta, decimal.Decimal, fractions.Fraction, enum.Enum)


_PLAIN_TYPES = frozenset({int, float, complex, bool, str, bytes, type(None)})


class _ForeignValue(Exception):
    """A value is not plain data, and needs the copy of its own class."""


def _copy_plain(value: Any, seen: dict[int, Any], made: dict[int, Any]) -> Any:
    """Return a copy of lists, dicts, sets and tuples of plain values, as `copy.deepcopy` makes it, but much faster.

    `seen` has the copies of earlier values by identity, `made` gets those of this one. Raises `_ForeignValue`.
    """
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return value
    found = made.get(id(value), seen.get(id(value)))
    if found is not None:
        return found
    if kind not in (list, dict, set, tuple):
        raise _ForeignValue
    flat = _PLAIN_TYPES.issuperset(map(type, value)) and (
        kind is not dict or _PLAIN_TYPES.issuperset(map(type, value.values()))
    )
    copied: Any
    if flat:
        copied = value if kind is tuple else value.copy()
        made[id(value)] = copied
    elif kind is list:
        copied = made[id(value)] = []
        copied.extend([_copy_plain(each, seen, made) for each in value])
    elif kind is dict:
        copied = made[id(value)] = {}
        copied.update([(_copy_plain(name, seen, made), _copy_plain(each, seen, made)) for name, each in value.items()])
    elif kind is tuple:
        copied = tuple([_copy_plain(each, seen, made) for each in value])
        copied = made.setdefault(id(value), copied)
    else:
        raise _ForeignValue
    return copied


def _copy_if_plain(value: Any, seen: dict[int, Any]) -> None:
    """Put the copy of a value, and of all that it holds, into the memo `seen` if it is plain data."""
    made: dict[int, Any] = {}
    try:
        _copy_plain(value, seen, made)
    except (_ForeignValue, RecursionError):
        return
    seen |= made


def detach_all(values: Iterable[Any], known: dict[int, bool] | None = None) -> list[Any]:
    """Return a copy of each value that shares nothing mutable with it. What several of them share, their copies share.

    So what many of them hold is copied once. If one cannot be copied, each is copied alone, as by `detach`.
    """
    given, seen = list(values), dict[int, Any]()
    try:
        return [each if is_immutable(each, known) else _copied(each, seen, known) for each in given]
    except Exception:  # noqa: BLE001 - as in `detach`
        return [detach(each, known=known) for each in given]


def _copied(value: Any, seen: dict[int, Any], known: dict[int, bool] | None) -> Any:
    """Return a deep copy. Raises the errors of the classes of what it holds."""
    # `copy.deepcopy` takes from its memo what it is not to copy.
    for each in getattr(value, "__dict__", {}).values():
        if is_immutable(each, known):
            seen[id(each)] = each
        elif id(each) not in seen:
            _copy_if_plain(each, seen)
    _copy_if_plain(value, seen)
    return copy.deepcopy(value, seen)


def detach(value: Any, seen: dict[int, Any] | None = None, known: dict[int, bool] | None = None) -> Any:
    """Return a copy that shares nothing mutable with `value`, as far as possible.

    Data is copied deeply. Functions, methods, classes and modules are returned unchanged, and so are objects that cannot
    be copied: locks, queues, files, sockets, and objects that hold one. Such an object guards itself or stands for a
    resource of the system, so a copy of it would be useless. Values that are immutable throughout are shared, also as
    attributes of an object: see `is_immutable`, which `known` is for, unless the class itself has a `__deepcopy__`. `seen` is the memo of `copy.deepcopy`.
    """
    # A class that says itself how it is copied is not looked through.
    if "__deepcopy__" not in type(value).__dict__ and is_immutable(value, known):
        return value
    try:
        return _copied(value, {} if seen is None else seen, known)
    except Exception:  # noqa: BLE001 - any error of a foreign __deepcopy__ means that the value cannot be copied
        return value


def is_immutable(value: Any, known: dict[int, bool] | None = None) -> bool:
    """Return whether a value is immutable throughout: a plain value, or a tuple or frozen class of immutable values.

    Frozen classes are those of msgspec, dataclasses and Pydantic that are declared so. `known` remembers the results for
    large values by their identity, while they live, so that a value that many objects hold is looked through once.
    """
    if value.__class__ in _PLAIN_TYPES or isinstance(value, _PLAIN):
        return True
    held = _held_by_frozen(value)
    if held is None:
        return False
    if known is None:
        # Most of what such values hold is plain, which is seen without a call for each.
        return all(each.__class__ in _PLAIN_TYPES or is_immutable(each) for each in held)
    found = known.get(id(value))
    if found is None:
        found = known[id(value)] = all(is_immutable(each, known) for each in held)
    return found


def _held_by_frozen(value: Any) -> Iterable[Any] | None:
    """Return what a frozen value holds; None for a value that is not frozen."""
    if isinstance(value, tuple | frozenset):
        return value
    if isinstance(value, msgspec.Struct):
        fields = value.__struct_fields__ if value.__struct_config__.frozen else None
    elif dataclasses.is_dataclass(value):
        frozen = getattr(type(value), "__dataclass_params__").frozen  # noqa: B009 - not in the types
        fields = tuple(vars(value)) if frozen and hasattr(value, "__dict__") else None
    else:
        config = getattr(type(value), "model_config", None)
        fields = tuple(vars(value)) if isinstance(config, dict) and config.get("frozen") is True else None
    return None if fields is None else [getattr(value, name, None) for name in fields]
