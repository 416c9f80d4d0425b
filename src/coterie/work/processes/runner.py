"""The parent's side of a worker process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import JobExited, JobRaised, NotSendable, WorkerDied, describe
from coterie.errors.general import RemoteError
from coterie.errors.work import WorkerStartFailed
from coterie.work.jobs.job import Job
from coterie.work.processes import child
from coterie.work.processes.sending import PackedCall, decode, has_program

_START = 60.0
"""Seconds allowed for the start of a process, which imports the program."""
_GONE = 5.0
"""Seconds allowed for the exit of a process after it was closed or killed."""


class ProcessRunner:
    """Runs jobs, one at a time, in a process beside its worker's thread.

    The process is reused for the next job. If it dies, or is killed to end a job, the next job gets a new one. `_lock`
    guards the current job, so that ending a job never kills the process of another.
    """

    ends = True

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._job: Job[Any] | None = None
        self._process: SpawnProcess | None = None
        self._calls: Connection | None = None
        self._lifeline: Connection | None = None
        self._start_error: BaseException | None = None
        self._exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the process, or None."""
        process = self._process
        return process.pid if process is not None else None

    def start(self) -> None:
        """Start a process unless one is ready. If this fails, the next job raises `WorkerStartFailed`."""
        if self._process is not None:
            if self._process.is_alive():
                return
            self._discard()
        self._start_error = None
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        lifeline_end, lifeline = context.Pipe(duplex=False)
        try:
            # Daemonic: the interpreter does not wait for it at exit.
            process = context.Process(target=child.serve, args=(theirs, lifeline_end), name="coterie-worker", daemon=True)
            with _importable_program():
                process.start()
        except Exception as error:  # noqa: BLE001 - the next job raises it
            self._start_error = error
            for end in (ours, theirs, lifeline_end, lifeline):
                end.close()
            return
        theirs.close()
        lifeline_end.close()
        self._process, self._calls, self._lifeline = process, ours, lifeline
        try:
            if not ours.poll(_START) or ours.recv_bytes() != child.READY:
                raise TimeoutError(f"the process was not ready within {_START:g} s")
        except (EOFError, OSError) as error:
            self._start_error = error
            self._kill()
            self._discard()

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job, whose call is a `PackedCall`. Return its value or raise its error."""
        call = job.call
        named = f"{job.id} {job.name}"
        if self._calls is None or not isinstance(call, PackedCall):
            start_error, self._start_error = self._start_error, None
            raise WorkerStartFailed(named, self._exit_code) from start_error
        with self._lock:
            self._job = job
        try:
            self._calls.send_bytes(call.payload)
            answer = self._calls.recv_bytes()
        except (EOFError, OSError):
            self._discard()
            raise WorkerDied(named, self._exit_code) from None
        finally:
            with self._lock:
                self._job = None
        return _outcome(job, named, answer)

    def end(self, job: Job[Any]) -> None:
        """Kill the process, and all processes it has started, if it runs this job."""
        with self._lock:
            if self._job is job:
                self._kill()

    def close(self) -> None:
        """End the idle process."""
        if self._calls is not None:
            self._calls.close()
        process = self._process
        if process is not None:
            process.join(_GONE)
            if process.is_alive():
                self._kill()
            self._discard()

    def after_fork_in_child(self) -> None:
        """Close this copy of the lifeline, so that the process still ends when the parent closes its own."""
        for end in (self._calls, self._lifeline):
            if end is not None:
                end.close()
        self._process = self._calls = self._lifeline = None

    def _kill(self) -> None:
        process = self._process
        # The process may exit or be closed at any moment.
        with contextlib.suppress(OSError, ValueError):
            if process is not None and process.pid is not None:
                if hasattr(os, "killpg") and os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()

    def _discard(self) -> None:
        """Close the pipes and the process object of a dead or dying process."""
        process, calls, lifeline = self._process, self._calls, self._lifeline
        self._process = self._calls = self._lifeline = None
        for end in (calls, lifeline):
            if end is not None:
                end.close()
        if process is not None:
            process.join(_GONE)
            if process.exitcode is None and not process.is_alive():
                # Another thread has just reaped it and is about to store the exit code.
                process.join(0.1)
            self._exit_code = process.exitcode
            if self._exit_code is not None:
                process.close()


@contextlib.contextmanager
def _importable_program() -> Iterator[None]:
    """Keep a new process from importing a `__main__` that has a file name but no file, such as a program from a pipe."""
    main = vars(sys.modules["__main__"])
    file = None if has_program() else main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file


def _outcome(job: Job[Any], named: str, answer: bytes) -> Any:
    kind, body = answer[:1], answer[1:]
    try:
        content = decode(body)
    except Exception as error:
        raise NotSendable(f"the result of {named}", f"this process could not unpickle it: {describe(error)}") from error
    if kind == child.VALUE:
        return content
    if kind == child.EXITED:
        name, text, trace = content
        exited = JobExited(f"{job.id} {job.name}", f"{name}({text})")
        exited.__cause__ = RemoteError(trace)
        raise exited
    if kind == child.ERROR:
        raised, trace = content
        raised.__cause__ = RemoteError(trace)
        raise raised
    text, trace = content
    described = JobRaised(named, text)
    described.__cause__ = RemoteError(trace)
    raise described
