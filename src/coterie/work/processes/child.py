"""The main loop of a worker process: it reads calls from a pipe, one at a time, and answers each.

Each call and its answer begin with the number of the call.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

from coterie.concurrency import start_thread
from coterie.concurrency.forks import end_forked_copy
from coterie.errors import NotSendable, describe
from coterie.work.jobs.call import Call
from coterie.work.processes.failures import pack_failure
from coterie.work.processes.sending import encode, unpack

NUMBER = 8
"""Bytes of the number of a call."""
READY = b"r"
VALUE = b"v"
ERROR = b"e"
"""Followed by a `PackedFailure`."""
EXITED = b"x"
"""Followed by the text and the traceback of an exception that would end the process, such as `SystemExit`."""


def serve(calls: Connection, lifeline: Connection) -> None:
    """Answer calls until the pipe closes. Runs in the child, and exits at once when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):
            # Killing this process group also ends processes that a job has started.
            os.setsid()
    # A daemonic process may not start children, but a job may need to.
    multiprocessing.current_process().daemon = False
    own = os.getpid()
    if hasattr(os, "register_at_fork"):
        # A copy that a job forks must neither answer nor keep the pipes open.
        os.register_at_fork(after_in_child=lambda: _close(calls, lifeline))
    start_thread(lambda: _exit_with(lifeline), "lifeline")
    calls.send_bytes(READY)
    with contextlib.suppress(EOFError, OSError):
        while True:
            call = calls.recv_bytes()
            calls.send_bytes(call[:NUMBER] + _answer(call[NUMBER:], own))


def _exit_with(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(0)


def _close(*pipes: Connection) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            pipe.close()


def _answer(payload: bytes, own: int) -> bytes:
    try:
        function, arguments, keywords = unpack(payload)
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        refused = NotSendable("the call", f"the worker process could not unpickle it: {describe(error)}")
        refused.__cause__ = error
        return ERROR + encode(pack_failure(refused))
    raised: BaseException | None = None
    value = None
    try:
        value = Call(function, arguments, keywords).run()
    except BaseException as error:  # noqa: BLE001 - the parent raises it, and it must not end this process
        raised = error
    if os.getpid() != own:
        end_forked_copy(raised)
    if raised is not None:
        if isinstance(raised, Exception):
            return ERROR + encode(pack_failure(raised))
        failure = pack_failure(raised)
        return EXITED + encode((f"{type(raised).__name__}({raised})", failure.trace))
    try:
        return VALUE + encode(value)
    except Exception as error:  # noqa: BLE001 - as above
        unsendable = NotSendable(f"the result, a {type(value).__qualname__},", describe(error))
        unsendable.__cause__ = error
        return ERROR + encode(pack_failure(unsendable))
