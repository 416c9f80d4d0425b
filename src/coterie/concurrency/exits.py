"""The end of the program: accepted work is finished within a limit, or its loss is reported on stderr and by the exit status.

A program may end without having stopped its runtimes, engines and stores. Then the objects that hold accepted work
finish it, one after another, in the order of `ExitOrder`: those that make work for others come first.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Protocol

from coterie.concurrency.frames import calls_out
from coterie.concurrency.threads import start_thread
from coterie.errors import describe

_STATUS = 1
"""The exit status of a program that lost accepted work."""


class ExitOrder(enum.IntEnum):
    """The order in which work is finished at the end of the program."""

    CONVERSATIONS = 5
    """Turns and operations of conversations, which run on runtimes."""
    AGENTS = 10
    """Runtimes: their agents use all others."""
    WORK = 20
    """Jobs and actions."""
    MODELS = 30
    """Requests to models."""
    MEMORY = 40
    """Memories that are not written yet."""
    STORAGE = 50
    """Databases: all others write to them."""


class ExitHandler(Protocol):
    """An object that holds accepted work."""

    def finish_at_exit(self) -> str | None:
        """Finish the accepted work within a limit of its own, and end. Return the loss as text; None without a loss."""
        ...


_HANDLERS: dict[ExitHandler, ExitOrder] = {}
"""The registered objects of this process. Only single operations, which are atomic, touch it."""
_LOSSES: list[str] = []


def register_exit_handler(handler: ExitHandler, order: ExitOrder) -> None:
    """Call `handler.finish_at_exit()` when the program ends. The handler is kept alive until it is unregistered."""
    _HANDLERS[handler] = order
    # The last registered function runs first: before those that end the worker processes, for example.
    atexit.unregister(finish)
    atexit.register(finish)


def unregister_exit_handler(handler: ExitHandler) -> None:
    """Forget a handler; do nothing if it is not registered."""
    _HANDLERS.pop(handler, None)


def end_dropped(what: str, end: Callable[[], object]) -> None:
    """End an object that was dropped while it was open, on a thread of its own, and give a `ResourceWarning`.

    For finalizers, which may run anywhere and must not wait. `end` must not refer to the object.
    """
    with contextlib.suppress(RuntimeError):  # the interpreter ends, and its exit handler with it
        start_thread(end, f"{what}-end")
    warnings.warn(f"{what} was dropped and not stopped: use a `with` block, or stop it", ResourceWarning, stacklevel=2)


@calls_out
def finish() -> None:
    """Let all registered objects finish. Report losses on stderr; the exit status of the process is then 1."""
    while _HANDLERS:
        handler = min(_HANDLERS.copy().items(), key=lambda item: item[1])[0]
        _HANDLERS.pop(handler, None)
        try:
            loss = handler.finish_at_exit()
        except BaseException as error:  # noqa: BLE001 - the others finish all the same; an interrupt ends the waiting for one
            loss = f"{handler!r} did not finish: {describe(error)}"
        if loss is not None:
            _LOSSES.append(loss)
            # A program may have closed its stderr.
            with contextlib.suppress(Exception):
                print(f"coterie: lost at the end of the program: {loss}", file=sys.stderr)  # noqa: T201 - the log may be closed


def _leave_with_status() -> None:
    """End the process with the status of a loss. A function at exit cannot change the status in another way."""
    if not _LOSSES:
        return
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(_STATUS)


# The first registered function runs last: after those of the program.
atexit.register(_leave_with_status)

if hasattr(os, "register_at_fork"):
    # The objects belong to the parent.
    os.register_at_fork(after_in_child=_HANDLERS.clear)
