"""The only module that starts threads; and stack dumps of threads, as text."""

from __future__ import annotations

import _thread
import asyncio
import gc
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

from coterie.concurrency.budget import PROCESS_THREADS
from coterie.concurrency.events import AutoResetEvent
from coterie.concurrency.frames import interrupted
from coterie.errors import ProgramEnding

_log = logging.getLogger(__name__)

CONTAINED = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError)
"""Errors of a callback that stay where they were raised, and are logged there: the thread is not the callback's. Ctrl-C is none."""

Thread: TypeAlias = threading.Thread
"""For annotations."""

_deferred: deque[Callable[[], object]] = deque()
_nobody_runs = AutoResetEvent()
"""Set unless a helper thread runs deferred steps: one at a time, so that they keep their order."""
_nobody_runs.set()


def start_thread(target: Callable[[], object], name: str, *, part: str | None = None, needed: bool = True) -> Thread:
    """Start a thread of that name and return it.

    It is a daemon: a thread that is stuck in user code must not keep the process alive. The caller ends the thread;
    shutdown reports threads that did not end. It counts for `part`, by default its name, in the budget of the process.

    Raises `RuntimeError` if the system cannot start another thread. Two kinds of it say why: `ThreadLimitReached`, if the budget
    has none left and the thread is not `needed`, and `ProgramEnding`.
    """
    deferred = interrupted()
    thread = (_DeferredThread if deferred else _CountedThread)(target=target, name=name, daemon=True)
    PROCESS_THREADS.enter(thread, part or name, needed=needed)
    if deferred:
        # A thread that starts waits for the lock of the threading module, which the caller may hold.
        defer(thread.start)
        return thread
    try:
        thread.start()
    except BaseException as error:
        PROCESS_THREADS.exit(thread)
        if isinstance(error, RuntimeError) and _is_ending():
            raise ProgramEnding(name) from error
        raise
    return thread


def _is_ending() -> bool:
    """Return whether the main thread has ended, and the program waits for others or calls its exit handlers."""
    return bool(getattr(threading, "_SHUTTING_DOWN", False)) or not threading.main_thread().is_alive()


class _CountedThread(Thread):
    """A thread that leaves the budget of the process when it ends."""

    def run(self) -> None:
        try:
            super().run()
        finally:
            PROCESS_THREADS.exit(self)


class _DeferredThread(_CountedThread):
    """A thread that another thread starts soon. Until then it counts as alive, and `join` waits for its start."""

    def __init__(self, *, target: Callable[[], object], name: str, daemon: bool) -> None:
        super().__init__(target=target, name=name, daemon=daemon)
        self._begun = threading.Event()

    def start(self) -> None:
        try:
            super().start()
        except BaseException:
            PROCESS_THREADS.exit(self)
            raise
        self._begun.set()

    def join(self, timeout: float | None = None) -> None:
        if self._begun.wait(timeout):
            super().join(timeout)

    def is_alive(self) -> bool:
        return not self._begun.is_set() or super().is_alive()


def call_on_bare_thread(function: Callable[[], object]) -> None:
    """Call a short function on a thread that the `threading` module does not know.

    For signal handlers only: they may have interrupted that module while it held its locks.
    """
    _thread.start_new_thread(function, ())


def defer(step: Callable[[], object]) -> None:
    """Run a short step soon, on a helper thread: it needs a lock that its own thread holds.

    A signal handler or a finalizer that interrupted the owner of a lock cannot wait for it. Deferred steps run in order.
    """
    _deferred.append(step)
    _thread.start_new_thread(_run_deferred, ())


def _run_deferred() -> None:
    _nobody_runs.wait()
    while _deferred:
        try:
            _deferred.popleft()()
        except CONTAINED:
            _log.exception("a deferred step raised")
    _nobody_runs.set()


def _current_frames() -> dict[int, FrameType]:
    """Return the frame of each thread.

    Python 3.11 may collect garbage in this call, while it holds the lock of its list of threads; what a finalizer then does
    with that list waits for ever (CPython issue 106883, mended in 3.12). So collections pause.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # noqa: SLF001 - documented, but private by name
    finally:
        if enabled:
            gc.enable()


def stack_of(thread_id: int | None) -> str:
    """Return the stack of a thread, innermost call last; an empty text if it has ended or has no Python frame."""
    frame = _current_frames().get(thread_id) if thread_id is not None else None
    return "".join(traceback.format_stack(frame)) if frame is not None else ""


def await_stack_of(awaitable: object) -> str:
    """Return where a suspended coroutine, or generator, awaits, innermost call last; an empty text if it is not suspended."""
    return "".join(traceback.StackSummary.extract(_suspended(awaitable)).format())


def _suspended(awaitable: Any) -> Iterator[tuple[FrameType, int]]:
    while awaitable is not None:
        # Each attribute is read once: another thread may resume it at any time.
        for prefix, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            if hasattr(awaitable, inner):
                frame = getattr(awaitable, f"{prefix}_frame")
                awaitable = getattr(awaitable, inner)
                if frame is not None:
                    yield frame, frame.f_lineno
                break
        else:
            return


def dump_stacks() -> str:
    """Return the stacks of all threads of the process, each under the name of its thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"thread {names.get(ident, '?')} ({ident})\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in _current_frames().items()
    ]
    return "\n".join(parts)
