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


def detach(value: Any, seen: dict[int, Any] | None = None, known: dict[int, bool] | None = None) -> Any:
    """Return a copy that shares nothing mutable with `value`, as far as possible.

    Data is copied deeply. Functions, methods, classes and modules are returned unchanged, and so are objects that cannot
    be copied: locks, queues, files, sockets, and objects that hold one. Such an object guards itself or stands for a
    resource of the system, so a copy of it would be useless. Values that are immutable throughout are shared, also as
    attributes of an object: see `is_immutable`, which `known` is for. `seen` is the memo of `copy.deepcopy`.
    """
    if is_immutable(value, known):
        return value
    seen = {} if seen is None else seen
    # `copy.deepcopy` takes from its memo what it is not to copy.
    seen |= {id(each): each for each in getattr(value, "__dict__", {}).values() if is_immutable(each, known)}
    try:
        return copy.deepcopy(value, seen)
    except Exception:  # noqa: BLE001 - any error of a foreign __deepcopy__ means that the value cannot be copied
        return value


def is_immutable(value: Any, known: dict[int, bool] | None = None) -> bool:
    """Return whether a value is immutable throughout: a plain value, or a tuple or frozen class of immutable values.

    Frozen classes are those of msgspec, dataclasses and Pydantic that are declared so. `known` remembers the results for
    large values by their identity, while they live, so that a value that many objects hold is looked through once.
    """
    if isinstance(value, _PLAIN):
        return True
    held = _held_by_frozen(value)
    if held is None:
        return False
    if known is None:
        return all(map(is_immutable, held))
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
