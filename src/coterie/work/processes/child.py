"""The main loop of a worker process: it reads calls from a pipe, one at a time, and answers each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any

from coterie.concurrency import start_thread
from coterie.errors import NotSendable, describe
from coterie.work.processes.sending import decode, encode, unpack

READY = b"r"
VALUE = b"v"
ERROR = b"e"
"""Followed by the error and the text of its traceback."""
EXITED = b"x"
"""Followed by type, text and traceback of an exception that would end the process, such as `SystemExit`."""
UNSENDABLE = b"u"
"""Followed by the text of an error that cannot be pickled, and of its traceback."""


def serve(calls: Connection, lifeline: Connection) -> None:
    """Answer calls until the pipe closes. Runs in the child, and exits at once when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):
            # Killing this process group also ends processes that a job has started.
            os.setsid()
    # A daemonic process may not start children, but a job may need to.
    multiprocessing.current_process().daemon = False
    start_thread(lambda: _exit_with(lifeline), "lifeline")
    calls.send_bytes(READY)
    with contextlib.suppress(EOFError, OSError):
        while True:
            calls.send_bytes(_answer(calls.recv_bytes()))


def _exit_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(0)


def _answer(payload: bytes) -> bytes:
    try:
        function, arguments, keywords = unpack(payload)
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        return _failure(NotSendable("the call", f"the worker process could not unpickle it: {describe(error)}"), error)
    try:
        value = function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return _failure(error, error)
    except BaseException as error:  # noqa: BLE001 - it must not end this process
        return EXITED + encode((type(error).__name__, str(error), _trace(error)))
    try:
        return VALUE + encode(value)
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(NotSendable(f"the result, a {type(value).__qualname__},", describe(error)), error)


def _failure(error: BaseException, origin: BaseException) -> bytes:
    trace = _trace(origin)
    try:
        written = encode((error, trace))
        # Some errors pickle but do not unpickle, because their constructors take other arguments than they keep.
        decode(written)
    except BaseException:  # noqa: BLE001 - send its text instead
        return UNSENDABLE + encode((_text(error), trace))
    return ERROR + written


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as worse:  # noqa: BLE001 - the __str__ of the error raised
        return f"no traceback: formatting it raised {type(worse).__name__}"


def _text(error: Any) -> str:
    try:
        return describe(error)
    except Exception:  # noqa: BLE001 - as above
        return type(error).__qualname__
