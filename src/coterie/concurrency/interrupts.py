"""Delay Ctrl-C while the library changes its own state, and let SIGTERM end a program in order.

Python raises `KeyboardInterrupt` between any two bytecodes of the main thread, also between taking a lock and entering
the ``with`` or ``try`` that releases it, or between recording a wake-up and sending it. While a guard is held, our signal
handler checks each Ctrl-C: inside library code it waits a millisecond and tries again; in other code, and where library
code waits, it raises at once. (Trio protects itself in the same way: "Control-C handling in Python and Trio", 2017.)

SIGTERM, which container stops send, raises `SystemExit` in the main thread under the same rules: ``with`` blocks then stop
their runtimes and engines, and the exit status is 143.

The main thread installs the handlers, each only if no other code handles that signal, as an `asyncio.Runner` handles Ctrl-C.
"""

from __future__ import annotations

import asyncio
import signal
import sysconfig
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from coterie.concurrency.frames import is_wait
from coterie.concurrency.threads import call_on_bare_thread

_AGAIN = 0.001
"""Seconds by which an interrupt is delayed."""
_LIBRARY = str(Path(sysconfig.get_path("stdlib")))
_CALLBACKS = tuple(str(Path(_LIBRARY, name)) for name in ("_weakrefset.py", "weakref.py"))
"""The standard library's code that runs when an object dies. Python prints and drops errors raised there."""


class InterruptGuard:
    """Delays Ctrl-C and SIGTERM while code of the given packages runs on the main thread, from `hold` to `release`.

    Safe from any thread. `_lock` guards the list of held guards, which belongs to the process, as signal handlers do.
    """

    _lock: ClassVar = threading.RLock()
    _held: ClassVar[list[InterruptGuard]] = []
    terminated: ClassVar = False
    """True if SIGTERM has ended the main thread's block."""

    def __init__(self, *packages: str) -> None:
        self.folders = tuple(str(Path(package)) for package in packages)

    def hold(self) -> None:
        """Start delaying. Installs each handler if this is the main thread and the signal has its default handler."""
        with self._lock:
            self._held.append(self)
            if _may_change_handlers():
                for number, default in _DEFAULTS.items():
                    if signal.getsignal(number) is default:
                        signal.signal(number, _interrupted)

    def release(self) -> None:
        """Stop delaying. The last release on the main thread restores the default handlers."""
        with self._lock:
            if self in self._held:
                self._held.remove(self)
            if not self._held and _may_change_handlers():
                for number, default in _DEFAULTS.items():
                    if signal.getsignal(number) is _interrupted:
                        signal.signal(number, default)


_DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The handled signals, and the handlers that are replaced and restored."""


def ends_in_order(kind: type[BaseException] | None) -> bool:
    """Return whether a ``with`` block that ended with an error of this type should finish its work: at its end or SIGTERM.

    A block also ends in order by `sys.exit`. On an event loop SIGTERM arrives as the cancellation of the main task.
    """
    if kind is None or issubclass(kind, SystemExit):
        return True
    return InterruptGuard.terminated and issubclass(kind, asyncio.CancelledError)


def _may_change_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Handle the signal, on the main thread, between two bytecodes of `frame`."""
    if _in_bookkeeping(frame):
        call_on_bare_thread(partial(_interrupt_again, number))
        return
    if number == signal.SIGTERM:
        InterruptGuard.terminated = True
        raise SystemExit(128 + number)
    signal.default_int_handler(number, frame)


def _interrupt_again(number: int) -> None:
    time.sleep(_AGAIN)
    main = threading.main_thread().ident
    if main is not None:
        # A signal, unlike a flag, also wakes a main thread that is waiting by now.
        signal.pthread_kill(main, number)


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
        # The standard library may have been called by library code: look at its caller.
        frame = frame.f_back
    return False
