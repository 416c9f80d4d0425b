"""What can be put aside and taken up again, and how a value is cut loose from the one who made it."""

from __future__ import annotations

import copy
import types
from typing import Any, Protocol, runtime_checkable

import msgspec


@runtime_checkable
class Checkpointable(Protocol):
    """Something whose state can be kept and given back."""

    def snapshot(self) -> Any:
        """Return the state as a plain value. The keeper copies it."""
        ...

    def restore(self, state: Any) -> None:
        """Take up a state that `snapshot` returned, perhaps from another instance of the same class."""
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


def detach(value: Any) -> Any:
    """Return a value that shares nothing mutable with `value`, as far as that can be.

    Data is copied, deeply. Functions, methods, classes and modules are passed as they are. What refuses to be copied is
    passed as it is too: locks, queues, files, sockets, and objects that hold one. Such an object guards itself, or is
    bound to the world outside, and a copy would make no sense.
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
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - whatever a foreign __deepcopy__ raises means: not to be copied
        return value
