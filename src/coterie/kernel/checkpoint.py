"""Snapshots: the protocol of objects that can be saved and restored, and deep copies that share nothing mutable."""

from __future__ import annotations

import copy
import types
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


def detach(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Return a copy that shares nothing mutable with `value`, as far as possible.

    Data is copied deeply. Functions, methods, classes and modules are returned unchanged, and so are objects that cannot
    be copied: locks, queues, files, sockets, and objects that hold one. Such an object guards itself or stands for a
    resource of the system, so a copy of it would be useless. `seen` is the memo of `copy.deepcopy`.
    """
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, tuple | frozenset) and all(isinstance(each, _ATOMS) for each in value):
        return value
    if isinstance(value, msgspec.Struct) and value.__struct_config__.frozen:
        fields = (getattr(value, name) for name in value.__struct_fields__)
        if all(isinstance(each, _ATOMS) for each in fields):
            return value
    try:
        return copy.deepcopy(value, seen)
    except Exception:  # noqa: BLE001 - any error of a foreign __deepcopy__ means that the value cannot be copied
        return value
