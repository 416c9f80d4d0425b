"""Signal handlers and finalizers that interrupt the bookkeeping, found by the stack of their thread.

Python runs a signal handler between any two bytecodes of the main thread, and a finalizer wherever an object dies. Code
of a user that runs there must not wait: the end of its wait may need the step that it has interrupted.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeVar

from coterie.errors import ReentrantCall

F = TypeVar("F", bound=Callable[..., object])

_SOURCE = Path(__file__).parent.parent
_BOOKKEEPING = tuple(str(_SOURCE / room) for room in ("concurrency", "kernel", "messaging", "runtime"))
_BELOW = tuple(str(_SOURCE / room) for room in ("durable", "storage"))
"""Rooms that the runtime calls between two complete steps, and that call back nothing of the user's on that thread."""
_THREADING = str(threading.__file__)
_GUARDED = frozenset({"start", "enumerate", "active_count", "_delete"})
"""The functions of the threading module that hold its one lock."""
_MAIN = threading.main_thread()
_WAITS: set[CodeType] = set()
_CALLS_OUT: set[CodeType] = set()


def waits(function: F) -> F:
    """Mark and return a library function that blocks, and that an exception may leave at any point."""
    _WAITS.add(function.__code__)
    return function


def calls_out(function: F) -> F:
    """Mark and return a function of the bookkeeping that calls code of users, between two complete steps."""
    _CALLS_OUT.add(function.__code__)
    return function


def is_wait(code: CodeType) -> bool:
    """Return whether a function is marked by `waits`."""
    return code in _WAITS


def interrupts_a_step() -> bool:
    """Return whether the caller, on the main thread, runs inside a step of the bookkeeping that it interrupted.

    On other threads it is False at once; on the main thread it costs about 50 ns for each frame of the stack.
    """
    if threading.get_ident() != _MAIN.ident:
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, but private by name
    outside = False
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_BELOW):
            pass
        elif not code.co_filename.startswith(_BOOKKEEPING):
            outside = True
        elif outside and code not in _CALLS_OUT:
            return code not in _WAITS
        frame = frame.f_back
    return False


def interrupted() -> bool:
    """Return whether the caller runs inside a step of the bookkeeping, or of the threading module, that it interrupted.

    Only for calls that are rare: it walks the whole stack.
    """
    if interrupts_a_step():
        return True
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, but private by name
    outside = False
    while frame is not None:
        name = frame.f_code.co_filename
        if outside and name == _THREADING and frame.f_code.co_name in _GUARDED:
            return True
        outside = outside or not name.startswith(_BOOKKEEPING + _BELOW)
        frame = frame.f_back
    return False


def refuse_if_interrupted(what: str) -> None:
    """Raise `ReentrantCall` if the caller runs inside a step of the bookkeeping that it interrupted."""
    if interrupted():
        raise ReentrantCall(what)
