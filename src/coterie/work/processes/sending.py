"""Pickling of calls and results between this process and its worker processes.

This is the only module that pickles. It unpickles only bytes from this program or from children that it started, read
from a pipe that no other process holds. A function is pickled as its module and qualified name.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - between a process and its own children
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coterie.errors import NotSendable
from coterie.work.jobs.call import Call, innermost, name_of, vars_of

_DEPTH = 8
"""Levels to search for the unpicklable part of a value."""


class PackedCall(Call):
    """A call that is pickled for another process."""

    __slots__ = ("payload",)

    def __init__(self, call: Call, payload: bytes) -> None:
        super().__init__(call.function, (), None)
        self.payload = payload


def pack(call: Call) -> PackedCall:
    """Pickle a call. Raises `NotSendable`, which names the part that cannot be pickled."""
    check_importable(call.function)
    try:
        return PackedCall(call, pickle.dumps((call.function, call.arguments, dict(call.keywords or {})), protocol=5))
    except Exception as error:
        raise _blame(call, error) from error


def unpack(payload: bytes) -> tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]:
    """Unpickle a call. Return function, arguments and keywords."""
    call: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]] = pickle.loads(payload)  # noqa: S301 - see above
    return call


def encode(value: Any) -> bytes:
    """Pickle a value. Raises any error of its pickling methods."""
    return pickle.dumps(value, protocol=5)


def decode(payload: bytes) -> Any:
    """Unpickle a value."""
    return pickle.loads(payload)  # noqa: S301 - see above


def check_importable(function: Callable[..., Any]) -> None:
    """Raise `NotSendable` unless another process can import the function by its name."""
    function = innermost(function)
    name = name_of(function)
    where = getattr(function, "__module__", None)
    if "<lambda>" in name:
        raise NotSendable(f"the function {name}", "a lambda cannot be imported by name; define it with def in a module")
    if "<locals>" in name:
        reason = "it is defined inside another function; define it at the top of a module"
        raise NotSendable(f"the function {name}", reason)
    if where == "__main__" and not has_program():
        reason = "it is defined in an interactive session, which no other process can import; put it into a module"
        raise NotSendable(f"the function {name}", reason)


def has_program() -> bool:
    """Return whether `__main__` can be imported again: it is a file or a module, not a session or a pipe."""
    main = sys.modules.get("__main__")
    if getattr(main, "__spec__", None) is not None:
        return True
    file = getattr(main, "__file__", None)
    return file is not None and Path(file).exists()


def _blame(call: Call, error: Exception) -> NotSendable:
    """Return an error that names the first part of a call that cannot be pickled."""
    name = call.name
    if not _sendable(call.function):
        return NotSendable(f"the function {name}{_inside(call.function)}", error)
    for number, argument in enumerate(call.arguments, 1):
        if not _sendable(argument):
            return NotSendable(f"argument {number} of {name}, a {type(argument).__qualname__}{_inside(argument)},", error)
    for keyword, argument in (call.keywords or {}).items():
        if not _sendable(argument):
            return NotSendable(f"the argument {keyword} of {name}, a {type(argument).__qualname__}{_inside(argument)},", error)
    return NotSendable(f"the call of {name}", error)


def _inside(value: Any) -> str:
    """Return the path to the part of a value that cannot be pickled, as text; empty if it is the value itself."""
    path, part = "", value
    for _ in range(_DEPTH):
        for step, each in _parts(part):
            if not _sendable(each):
                path, part = path + step, each
                break
        else:
            break
    return f", because of its {path.removeprefix('.')}, a {type(part).__qualname__}" if path else ""


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return the parts of a value, each with its access path."""
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", each) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", each) for index, each in enumerate(value)]
    return [(f".{name}", each) for name, each in vars_of(value).items()] if not isinstance(value, type) else []


def _sendable(value: Any) -> bool:
    try:
        encode(value)
    except Exception:  # noqa: BLE001 - any error means that it cannot be pickled
        return False
    return True
