"""Handlers for forks: a child process has copies of all objects, but none of the threads that used them."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import weakref
from typing import NoReturn, Protocol


class ForkAware(Protocol):
    """An object with threads, which must not wait for them in a forked child."""

    def after_fork_in_child(self) -> None:
        """Mark this object as a copy in a forked child: its threads do not exist, and its locks may stay locked."""
        ...


_HANDLERS: weakref.WeakSet[ForkAware] = weakref.WeakSet()
"""Registered objects, held weakly."""


def register_fork_handler(handler: ForkAware) -> None:
    """Call `handler.after_fork_in_child()` in every child forked from now on, while the handler is alive."""
    _HANDLERS.add(handler)


def unregister_fork_handler(handler: ForkAware) -> None:
    """Forget a handler; do nothing if it is not registered."""
    _HANDLERS.discard(handler)


def end_forked_copy(error: BaseException | None) -> NoReturn:
    """End this process, a forked copy in which a function of a user has returned or raised `error`.

    The rest of the copied stack belongs to the parent. The exit code is that of a program: of `SystemExit`, 1 after another
    error, or 0.
    """
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    elif error is not None:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def _after_fork() -> None:
    for handler in list(_HANDLERS):
        handler.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
