"""The runner of a worker whose jobs run in a process."""

from __future__ import annotations

import multiprocessing.process
import os
from functools import partial
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import WorkerDied, describe
from coterie.errors.work import WorkerStartFailed
from coterie.work.jobs.job import Job
from coterie.work.processes import child
from coterie.work.processes.options import ProcessOptions
from coterie.work.processes.process import OutOfTurn, ProgramUnguarded, WorkerProcess, read_answer
from coterie.work.processes.sending import PackedCall


class ProcessRunner:
    """Runs jobs, one at a time, in a process beside its worker's thread.

    The process is reused for the next job. If it dies, answers out of turn, or is killed to end a job, the next job gets a
    new one. `_lock` guards the current job, so that ending a job never kills the process of another.
    """

    ends = True

    def __init__(self, options: ProcessOptions = ProcessOptions()) -> None:  # noqa: B008 - it is immutable
        self._options = options
        self._lock = new_lock(Rank.RECORDS)
        self._job: Job[Any] | None = None
        self._process: WorkerProcess | None = None
        self._start_error: BaseException | None = None
        self._exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the process, or None."""
        process = self._process
        return process.pid if process is not None else None

    def start(self) -> None:
        """Start a process unless one is ready. If this fails, the next job raises `WorkerStartFailed`.

        In a process that only imports the program, because the program has no `__main__` guard, it ends that process
        without a word: its parent reports it, once.
        """
        if getattr(multiprocessing.process.current_process(), "_inheriting", False):
            os._exit(child.UNGUARDED)
        if self._process is not None:
            if self._process.usable and not self._process.worn:
                return
            self.close()
        self._start_error = None
        try:
            self._process = WorkerProcess(self._options)
        except ProgramUnguarded:
            # The error of the next job says it all, and its cause would only add lines.
            self._exit_code = child.UNGUARDED
        except Exception as error:  # noqa: BLE001 - the next job raises it
            self._start_error = error

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job, whose call is a `PackedCall`. Return its value or raise its error."""
        call = job.call
        named = job.label
        process = self._process
        if process is None or not isinstance(call, PackedCall):
            start_error, self._start_error = self._start_error, None
            # Without a word, it has probably ended because of the program that it imports.
            reason = ""
            if start_error is not None and not isinstance(start_error, EOFError):
                reason = f"its start, or its initializer, raised {describe(start_error)}"
            raise WorkerStartFailed(named, self._exit_code, reason) from start_error
        with self._lock:
            self._job = job
        try:
            answer = process.call((job.id, job.name), call.payload, partial(setattr, job, "progress"))
        except OutOfTurn:
            self._discard()
            raise WorkerDied(named, self._exit_code, " after it had answered out of turn") from None
        except (EOFError, OSError):
            self._discard()
            raise WorkerDied(named, self._exit_code) from None
        finally:
            with self._lock:
                self._job = None
        return read_answer(answer, named)

    def request_cancel(self, job: Job[Any]) -> bool:
        """Let the function of a job see that it was cancelled. Return whether it runs here and can see that."""
        with self._lock:
            return self._job is job and self._process is not None and self._process.request_cancel()

    def end(self, job: Job[Any]) -> None:
        """Kill the process, and all processes it has started, if it runs this job."""
        with self._lock:
            if self._job is job and self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the idle process, and all processes it has started."""
        process, self._process = self._process, None
        if process is not None:
            self._exit_code = process.close(gently=True)

    def after_fork_in_child(self) -> None:
        """Drop this copy of the process."""
        process, self._process = self._process, None
        if process is not None:
            process.after_fork_in_child()

    def _discard(self) -> None:
        """Close a process that is dead, or that must end."""
        process, self._process = self._process, None
        if process is not None:
            self._exit_code = process.close()
