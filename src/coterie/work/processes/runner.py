"""The runner of a worker whose jobs run in a process."""

from __future__ import annotations

from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import JobExited, NotSendable, WorkerDied, describe
from coterie.errors.general import RemoteError
from coterie.errors.work import WorkerStartFailed
from coterie.work.jobs.job import Job
from coterie.work.processes import child
from coterie.work.processes.failures import unpack_failure
from coterie.work.processes.process import OutOfTurn, WorkerProcess
from coterie.work.processes.sending import PackedCall, decode


class ProcessRunner:
    """Runs jobs, one at a time, in a process beside its worker's thread.

    The process is reused for the next job. If it dies, answers out of turn, or is killed to end a job, the next job gets a
    new one. `_lock` guards the current job, so that ending a job never kills the process of another.
    """

    ends = True

    def __init__(self) -> None:
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
        """Start a process unless one is ready. If this fails, the next job raises `WorkerStartFailed`."""
        if self._process is not None:
            if self._process.usable:
                return
            self._discard()
        self._start_error = None
        try:
            self._process = WorkerProcess()
        except Exception as error:  # noqa: BLE001 - the next job raises it
            self._start_error = error

    def run(self, job: Job[Any]) -> Any:
        """Make one attempt at a job, whose call is a `PackedCall`. Return its value or raise its error."""
        call = job.call
        named = f"{job.id} {job.name}"
        process = self._process
        if process is None or not isinstance(call, PackedCall):
            start_error, self._start_error = self._start_error, None
            raise WorkerStartFailed(named, self._exit_code) from start_error
        with self._lock:
            self._job = job
        try:
            answer = process.call(call.payload)
        except OutOfTurn:
            self._discard()
            raise WorkerDied(named, self._exit_code, " after it had answered out of turn") from None
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


def _outcome(job: Job[Any], named: str, answer: bytes) -> Any:
    kind, body = answer[:1], answer[1:]
    try:
        content = decode(body)
    except Exception as error:
        raise NotSendable(f"the result of {named}", f"this process could not unpickle it: {describe(error)}") from error
    if kind == child.VALUE:
        return content
    if kind == child.EXITED:
        text, trace = content
        exited = JobExited(f"{job.id} {job.name}", text)
        exited.__cause__ = RemoteError(trace)
        raise exited
    raise unpack_failure(content, named)
