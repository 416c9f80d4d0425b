"""Ctrl-C that never cuts a step of the bookkeeping in two.

Python raises `KeyboardInterrupt` between any two bytecodes of the main thread, so also after a lock has been taken and
before the ``with`` or ``try`` that gives it back, or between noting that somebody is to be woken and waking them. While
anybody needs it, Ctrl-C is therefore looked at by a handler of ours: in the middle of the bookkeeping it is put off by
a millisecond, and tried again; everywhere else, and where the bookkeeping waits, it is raised at once. (Trio protects
itself in the same way: "Control-C handling in Python and Trio", 2017.)

It is installed only by the main thread, and only if nobody else handles Ctrl-C, as an `asyncio.Runner` does.
"""

from __future__ import annotations

import signal
import sysconfig
import threading
import time
from pathlib import Path
from types import FrameType
from typing import ClassVar

from coterie.concurrency.frames import is_wait
from coterie.concurrency.threads import call_on_bare_thread

_AGAIN = 0.001
"""Seconds by which an interrupt is put off."""
_LIBRARY = str(Path(sysconfig.get_path("stdlib")))
_CALLBACKS = tuple(str(Path(_LIBRARY, name)) for name in ("_weakrefset.py", "weakref.py"))
"""Where the standard library is called when an object dies: what is raised there is printed, and lost."""


class InterruptGuard:
    """Puts Ctrl-C off while the code of some packages runs on the main thread, from `hold` to `release`.

    Safe from any thread. What is counted is the whole process's, for so is the handling of signals: `_lock` guards it.
    """

    _lock: ClassVar = threading.RLock()
    _held: ClassVar[list[InterruptGuard]] = []

    def __init__(self, *packages: str) -> None:
        self.folders = tuple(str(Path(package)) for package in packages)

    def hold(self) -> None:
        """Begin. The handler is installed if this is the main thread and Ctrl-C is nobody else's."""
        with self._lock:
            self._held.append(self)
            if _may_change_handlers() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, _interrupted)

    def release(self) -> None:
        """End. The last to go puts the usual handler back, if this is the main thread; else the next one to go does."""
        with self._lock:
            if self in self._held:
                self._held.remove(self)
            if not self._held and _may_change_handlers() and signal.getsignal(signal.SIGINT) is _interrupted:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def _may_change_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Handle the signal: on the main thread, between two bytecodes of `frame`."""
    if _in_bookkeeping(frame):
        call_on_bare_thread(_interrupt_again)
        return
    signal.default_int_handler(number, frame)


def _interrupt_again() -> None:
    time.sleep(_AGAIN)
    main = threading.main_thread().ident
    if main is not None:
        # A signal, rather than a flag, also wakes a thread that has begun to wait meanwhile.
        signal.pthread_kill(main, signal.SIGINT)


def _in_bookkeeping(frame: FrameType | None) -> bool:
    folders = tuple(folder for guard in list(InterruptGuard._held) for folder in guard.folders)  # noqa: SLF001 - one thing
    while frame is not None and folders:
        code = frame.f_code
        if is_wait(code):
            return False
        if code.co_filename.startswith((*folders, *_CALLBACKS)):
            return True
        if not code.co_filename.startswith((_LIBRARY, "<frozen")) or "site-packages" in code.co_filename:
            return False
        # What the standard library does, it may do on behalf of the bookkeeping.
        frame = frame.f_back
    return False
