"""What a worker's process does: it takes calls from a pipe, one at a time, and answers each."""

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
from coterie.work.processes.sending import read, unpack, write

READY = b"r"
VALUE = b"v"
ERROR = b"e"
"""Followed by the error and the text of its traceback."""
EXITED = b"x"
"""As an error, but one that is meant to end the process."""
UNSENDABLE = b"u"
"""Followed by the texts of an error that cannot be sent, and of its traceback."""


def serve(calls: Connection, lifeline: Connection) -> None:
    """Answer calls until there are no more. Run in the child; ends it at once when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):
            # A group of its own, so that what a job has started ends with it.
            os.setsid()
    # What is daemonic may have no children of its own; a job may want some.
    multiprocessing.current_process().daemon = False
    start_thread(lambda: _die_with(lifeline), "lifeline")
    calls.send_bytes(READY)
    with contextlib.suppress(EOFError, OSError):
        while True:
            calls.send_bytes(_answer(calls.recv_bytes()))


def _die_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(0)


def _answer(payload: bytes) -> bytes:
    try:
        function, arguments, keywords = unpack(payload)
    except BaseException as error:  # noqa: BLE001 - the parent is to know
        return _failure(NotSendable("the call", f"it could not be read there: {describe(error)}"), error)
    try:
        value = function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - it belongs to the one who waits
        return _failure(error, error)
    except BaseException as error:  # noqa: BLE001 - the same, but it must not end this process
        return EXITED + write((type(error).__name__, str(error), _trace(error)))
    try:
        return VALUE + write(value)
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(NotSendable(f"the result, a {type(value).__qualname__},", describe(error)), error)


def _failure(error: BaseException, origin: BaseException) -> bytes:
    trace = _trace(origin)
    try:
        written = write((error, trace))
        # Many an error can be written and not read: its constructor wants other arguments than it keeps.
        read(written)
    except BaseException:  # noqa: BLE001 - then its text has to do
        return UNSENDABLE + write((_text(error), trace))
    return ERROR + written


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as worse:  # noqa: BLE001 - an error whose own text cannot be had
        return f"no traceback could be had: {type(worse).__name__}"


def _text(error: Any) -> str:
    try:
        return describe(error)
    except Exception:  # noqa: BLE001 - as above
        return type(error).__qualname__
