"""Process-wide settings of a runtime, which it restores when it has stopped."""

from __future__ import annotations

import gc
import logging
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import coterie.concurrency
import coterie.kernel
import coterie.messaging
from coterie.concurrency import Completion, SwitchInterval
from coterie.concurrency.exits import ExitOrder, register_exit_handler, unregister_exit_handler
from coterie.concurrency.forks import register_fork_handler, unregister_fork_handler
from coterie.concurrency.interrupts import InterruptGuard

_log = logging.getLogger(__name__)

_BOOKKEEPING = [
    str(Path(path).parent)
    for path in (coterie.concurrency.__file__, coterie.kernel.__file__, coterie.messaging.__file__, __file__)
]
"""The folders whose code Ctrl-C does not interrupt."""
_AT_EXIT = 10.0
"""Seconds that the end of the process waits for the stop of an owner that no code refers to."""
_MANY = 10
"""Runtimes that run at once before garbage is collected, and with each further so many."""


class ProcessOwner(Protocol):
    """An object with handlers for the end of the process and for forks."""

    def stop_at_exit(self) -> str | None:
        """Handle the end of the interpreter. Return the loss as text; None without a loss."""
        ...

    def after_fork_in_child(self) -> None:
        """Handle that this is a copy in a forked process, which has none of the threads."""
        ...


class ProcessHooks:
    """A lower switch interval, a guard for Ctrl-C, and handlers for the end of the process and for forks, for one owner.

    The owner is not kept alive. Safe from any thread.
    """

    def __init__(self, owner: ProcessOwner, switch_interval: float) -> None:
        self.owner = weakref.ref(owner)
        self._interval = SwitchInterval(switch_interval)
        self._interrupts = InterruptGuard(*_BOOKKEEPING)
        self._stopped: Completion | None = None
        """The end of the stop of an owner that no code refers to."""

    def install(self) -> None:
        """Begin."""
        if self._interval.hold() % _MANY == 0:
            # Those that no code refers to any more are stopped when they are found; small programs collect garbage rarely.
            gc.collect()
        self._interrupts.hold()
        register_exit_handler(self, ExitOrder.AGENTS)
        register_fork_handler(self)

    def uninstall(self) -> None:
        """End all but the guard."""
        self._interval.release()
        unregister_exit_handler(self)
        unregister_fork_handler(self)

    def finish_at_exit(self) -> str | None:
        """Call the handler of the owner."""
        owner = self.owner()
        if owner is not None:
            return owner.stop_at_exit()
        if self._stopped is None or self._stopped.wait(_AT_EXIT):
            return None
        return f"a runtime that no code referred to had not stopped within {_AT_EXIT:g} s"

    def after_fork_in_child(self) -> None:
        """Uninstall in a forked process, and call the handler of the owner."""
        self.uninstall()
        owner = self.owner()
        if owner is not None:
            owner.after_fork_in_child()

    def owner_unused(self, owner: ProcessOwner, stop: Callable[[], None], stopped: Completion) -> None:
        """Warn that no code refers to the owner any more, and stop it; the end of the process waits for that."""
        problem = f"no code refers to {owner!r} any more, so it is stopped; end it by `with`, or by `stop()`"
        _log.warning(problem)
        try:
            warnings.warn(problem, ResourceWarning, stacklevel=3, source=owner)
        finally:
            self._stopped = stopped
            stopped.add_callback(self.let_go_of_interrupts)
            stop()

    def let_go_of_interrupts(self) -> None:
        """End the guard, on the main thread if possible, because no other thread may change signal handlers."""
        self._interrupts.release()
