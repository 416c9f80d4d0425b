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
_OUTSIDE, _LIBRARY, _WITHIN, _THREADS = range(4)
"""Where the code of a file belongs: to the user, to a room below the runtime, to the bookkeeping, to the threading module."""
_KNOWN_FILES = 10_000
_GUARDED = frozenset({"start", "enumerate", "active_count", "_delete"})
"""The functions of the threading module that hold its one lock."""
_MAIN = threading.main_thread()
_places: dict[str, int] = {}
"""Where files belong, by name. Two threads store equal entries."""
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
        place = _places.get(code.co_filename)
        if place is None:
            place = _place_of(code.co_filename)
        if place == _WITHIN:
            if outside and code not in _CALLS_OUT:
                return code not in _WAITS
        elif place != _LIBRARY:
            outside = True
        frame = frame.f_back
    return False


def _place_of(file: str) -> int:
    """Return where the code of a file belongs, and keep it in `_places`."""
    if file == _THREADING:
        place = _THREADS
    elif file.startswith(_BELOW):
        place = _LIBRARY
    else:
        place = _WITHIN if file.startswith(_BOOKKEEPING) else _OUTSIDE
    if len(_places) >= _KNOWN_FILES:
        _places.clear()
    _places[file] = place
    return place


def interrupted() -> bool:
    """Return whether the caller runs inside a step of the bookkeeping, or of the threading module, that it interrupted.

    Only for calls that are rare: it walks the whole stack.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, but private by name
    outside = False
    # On other threads than the main one no signal handler runs: only the threading module counts there.
    undecided = threading.get_ident() == _MAIN.ident
    while frame is not None:
        code = frame.f_code
        place = _places.get(code.co_filename)
        if place is None:
            place = _place_of(code.co_filename)
        if place == _WITHIN:
            if undecided and outside and code not in _CALLS_OUT:
                if code not in _WAITS:
                    return True
                undecided = False
        elif place != _LIBRARY:
            if outside and place == _THREADS and code.co_name in _GUARDED:
                return True
            outside = True
        frame = frame.f_back
    return False


def refuse_if_interrupted(what: str) -> None:
    """Raise `ReentrantCall` if the caller runs inside a step of the bookkeeping that it interrupted."""
    if interrupted():
        raise ReentrantCall(what)
