"""The main loop of a worker process: it reads calls from a pipe, one at a time, and answers each.

Each call, its answer, and the progress that its job reports before that, begin with the number of the call.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from coterie.concurrency import Rank, new_lock, start_thread
from coterie.concurrency.forks import end_forked_copy
from coterie.errors import NotSendable, describe
from coterie.work.jobs.call import Call
from coterie.work.jobs.future import CURRENT, JobFuture
from coterie.work.jobs.progress import check_progress
from coterie.work.processes.failures import pack_failure
from coterie.work.processes.sending import decode, encode, unpack

NUMBER = 8
"""Bytes of the number of a call."""
LENGTH = 4
"""Bytes of the length of the description of the job that follows the number."""
READY = b"r"
PROGRESS = b"p"
"""Followed by a fraction and a text. More progress, or the answer, follows."""
UNGUARDED = 79
"""The exit code of a process that found that importing its program starts processes."""
VALUE = b"v"
ERROR = b"e"
"""Followed by a `PackedFailure`."""
EXITED = b"x"
"""Followed by the text and the traceback of an exception that would end the process, such as `SystemExit`."""


def serve(calls: Connection, lifeline: Connection, initializer: bytes | None = None) -> None:
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
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _request_cancel)
    with contextlib.suppress(EOFError, OSError):
        if initializer is not None:
            answer = _answer(initializer, own)
            if answer[:1] != VALUE:
                calls.send_bytes(answer)
                return
        calls.send_bytes(READY)
        while True:
            call = calls.recv_bytes()
            number, described = call[:NUMBER], NUMBER + LENGTH
            end = described + int.from_bytes(call[NUMBER:described], "big")
            id_, name = decode(call[described:end])
            job = RemoteJob(id_, name, calls, number)
            CURRENT.job = job
            try:
                answer = _answer(call[end:], own)
            finally:
                CURRENT.job = None
            job.answer(answer)


def _request_cancel(number: int, frame: object) -> None:  # noqa: ARG001 - as signal.signal wants it
    job = CURRENT.job
    if isinstance(job, RemoteJob):
        job.cancel_requested = True


class RemoteJob(JobFuture[Any]):
    """The job that a worker process runs, as its function sees it: `current_job()` returns it there.

    Safe from any thread of the process; `_sending` keeps the messages of several threads apart.
    """

    __slots__ = ("_calls", "_number", "_sending", "cancel_requested", "id", "name")

    def __init__(self, id: str, name: str, calls: Connection, number: bytes) -> None:  # noqa: A002 - the field's own name
        super().__init__()
        self.pool = _NoPool()
        self.id = id
        self.name = name
        self.cancel_requested = False
        """True if the job was cancelled with a grace period."""
        self._calls: Connection | None = calls
        self._number = number
        self._sending = new_lock(Rank.RECORDS)

    @property
    def label(self) -> str:
        """Return the id and the name for messages."""
        return f"{self.id} {self.name}"

    def report_progress(self, fraction: float, text: str = "") -> None:
        """Report progress; see `Job.report_progress`. Does nothing after the function has returned."""
        message = self._number + PROGRESS + encode(check_progress(fraction, text))
        with self._sending:
            if self._calls is not None:
                self._calls.send_bytes(message)

    def answer(self, answer: bytes) -> None:
        """Send the answer. Nothing may follow it."""
        with self._sending:
            calls, self._calls = self._calls, None
            if calls is not None:
                calls.send_bytes(self._number + answer)


class _NoPool:
    """Stands for the pool of a job whose worker is a process: no other worker can replace it."""

    def blocked(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    def count_callback_error(self) -> None:
        """Do nothing: the parent counts."""


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
