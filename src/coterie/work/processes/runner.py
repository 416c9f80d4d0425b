"""The parent's side of a worker's process."""

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
from coterie.errors import JobExited, JobRaised, NotSendable, RemoteError, WorkerDied, WorkerStartFailed, describe
from coterie.work.jobs.job import Job
from coterie.work.processes import child
from coterie.work.processes.sending import PackedCall, has_program, read

_START = 60.0
"""Seconds that a process gets to come up: it imports the program anew."""
_GONE = 5.0
"""Seconds that a process gets to be gone after it was closed or killed."""


class ProcessRunner:
    """Runs jobs, one at a time, in a process beside its worker's thread.

    The process lives from job to job. When it dies, or is killed because a job has to end, the next job gets another.
    `_lock` guards which job it runs, so that no other is ever killed for it.
    """

    ends = True

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._job: Job[Any] | None = None
        self._process: SpawnProcess | None = None
        self._calls: Connection | None = None
        self._lifeline: Connection | None = None
        self._unborn: BaseException | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        process = self._process
        return process.pid if process is not None else None

    def start(self) -> None:
        """Have a process that is ready. If that fails, the next job hears of it."""
        if self._process is not None:
            if self._process.is_alive():
                return
            self._bury()
        self._unborn = None
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        lifeline_end, lifeline = context.Pipe(duplex=False)
        try:
            # A daemon, in the sense of that module: the interpreter does not wait for it at its own end.
            process = context.Process(target=child.serve, args=(theirs, lifeline_end), name="coterie-worker", daemon=True)
            with _importable_program():
                process.start()
        except Exception as error:  # noqa: BLE001 - the next job hears of it
            self._unborn = error
            for end in (ours, theirs, lifeline_end, lifeline):
                end.close()
            return
        theirs.close()
        lifeline_end.close()
        self._process, self._calls, self._lifeline = process, ours, lifeline
        try:
            if not ours.poll(_START) or ours.recv_bytes() != child.READY:
                raise TimeoutError(f"it was not ready within {_START:g} s")
        except (EOFError, OSError) as error:
            self._unborn = error
            self._kill()
            self._bury()

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job, whose call has been packed."""
        call = job.call
        named = f"{job.id} {job.name}"
        if self._calls is None or not isinstance(call, PackedCall):
            unborn, self._unborn = self._unborn, None
            raise WorkerStartFailed(named, self._code) from unborn
        with self._lock:
            self._job = job
        try:
            self._calls.send_bytes(call.payload)
            answer = self._calls.recv_bytes()
        except (EOFError, OSError):
            self._bury()
            raise WorkerDied(named, self._code) from None
        finally:
            with self._lock:
                self._job = None
        return _outcome(job, named, answer)

    def end(self, job: Job[Any]) -> None:
        """Kill the process if it is this job that it runs, and all that the job has started."""
        with self._lock:
            if self._job is job:
                self._kill()

    def close(self) -> None:
        """End the process, which has nothing to do."""
        if self._calls is not None:
            self._calls.close()
        process = self._process
        if process is not None:
            process.join(_GONE)
            if process.is_alive():
                self._kill()
            self._bury()

    def after_fork_in_child(self) -> None:
        """Let go of the parent's process, which ends when the parent closes the lifeline, and not only when this does."""
        for end in (self._calls, self._lifeline):
            if end is not None:
                end.close()
        self._process = self._calls = self._lifeline = None

    def _kill(self) -> None:
        process = self._process
        # It may be gone, or have been let go of, at any moment.
        with contextlib.suppress(OSError, ValueError):
            if process is not None and process.pid is not None:
                if hasattr(os, "killpg") and os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()

    def _bury(self) -> None:
        """Let go of a process that is dead, or dying."""
        process, calls, lifeline = self._process, self._calls, self._lifeline
        self._process = self._calls = self._lifeline = None
        for end in (calls, lifeline):
            if end is not None:
                end.close()
        if process is not None:
            process.join(_GONE)
            if process.exitcode is None and not process.is_alive():
                # Another thread has just waited for it, and is about to note how it ended.
                process.join(0.1)
            self._code = process.exitcode
            if self._code is not None:
                process.close()


@contextlib.contextmanager
def _importable_program() -> Iterator[None]:
    """Keep a new process from importing a program that came through a pipe and has only the name of a file."""
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
        content = read(body)
    except Exception as error:
        raise NotSendable(f"what {named} returned", f"it could not be read here: {describe(error)}") from error
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
