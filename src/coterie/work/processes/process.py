"""One worker process, as its parent sees it: its pipes, its end, and the end of all processes that it has started."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import psutil

from coterie.errors import JobExited, NotSendable, describe
from coterie.errors.general import RemoteError
from coterie.work.jobs.progress import Progress
from coterie.work.processes import child
from coterie.work.processes.failures import unpack_failure
from coterie.work.processes.options import NumericThreads, ProcessOptions
from coterie.work.processes.sending import decode, encode, has_program

_START = 60.0
"""Seconds allowed for the start of a process, which imports the program."""
_GONE = 5.0
"""Seconds allowed for the exit of a process after it was closed or killed."""
_LOOK = 0.5
"""Seconds between two looks at a process, on systems that do not tell its end through a descriptor of the process itself."""
_SHELL = "/bin/sh"
_WATCH = 'read -r line || kill -s KILL -- "-$1"'
"""Wait until the pipe at standard input is closed, then kill a process group."""


class OutOfTurn(Exception):
    """A worker process sent something that is not the answer to its current call."""


class ProgramUnguarded(Exception):
    """Importing the program, as each process does, starts processes: it has no `__main__` guard."""


class WorkerProcess:
    """A process that answers one call at a time. Raises `OSError` or `EOFError`, or the error of its initializer.

    The processes that its jobs start belong to its process group. The group ends with it: also when this process is
    killed, because a small shell outside of the group, which needs no interpreter of ours, then kills the group. Only the
    thread of its worker calls its methods, except `kill`, which is safe from any thread while the process is not closed.
    """

    def __init__(self, options: ProcessOptions = ProcessOptions()) -> None:  # noqa: B008 - it is immutable
        context = multiprocessing.get_context("spawn")
        self._numbers = itertools.count(1)
        self._options = options
        self.calls = 0
        """The number of calls so far."""
        self.exit_code: int | None = None
        """The exit code, after `close`."""
        self._calls, theirs = context.Pipe()
        lifeline_end, self._lifeline = context.Pipe(duplex=False)
        self._watcher: subprocess.Popen[bytes] | None = None
        self._exit_descriptor: int | None = None
        try:
            # Daemonic: the interpreter does not wait for it at exit.
            self._process: SpawnProcess = context.Process(
                target=child.serve,
                args=(theirs, lifeline_end, options.initializer),
                name="coterie-worker",
                daemon=True,
            )
            with _importable_program(), NumericThreads.limited(options.threads):
                self._process.start()
            assert self._process.pid is not None
            self.pid = self._process.pid
            self._watcher = _watch_group(self.pid, lifeline_end)
        except BaseException:
            self._close_pipes()
            raise
        finally:
            theirs.close()
            lifeline_end.close()
        self._group = False
        """Whether the process has made its own group."""
        self._await = self._waiting()
        try:
            ready = self._calls.recv_bytes() if self._calls.poll(_START) else b""
        except (EOFError, OSError) as error:
            if self.close() == child.UNGUARDED:
                raise ProgramUnguarded from error
            raise
        if ready != child.READY:
            self.close()
            if ready:
                read_answer(ready, "the initializer")
            raise EOFError(f"the process was not ready within {_START:g} s")
        self._group = hasattr(os, "killpg")

    @property
    def usable(self) -> bool:
        """Return whether it is alive, and has sent no unexpected answer."""
        try:
            return not self._calls.poll() and not self._exited()
        except (EOFError, OSError):
            return False

    @property
    def worn(self) -> bool:
        """Return whether it has done as many calls, or holds as much memory, as its options allow."""
        options = self._options
        if options.max_tasks is not None and self.calls >= options.max_tasks:
            return True
        if options.max_memory is None:
            return False
        try:
            return bool(psutil.Process(self.pid).memory_info().rss > options.max_memory)
        except psutil.Error:
            return True

    def call(self, job: tuple[str, str], payload: bytes, progressed: Callable[[Progress], object]) -> bytes:
        """Send the call of a job, given by id and name, and return its answer.

        Calls `progressed` with each progress. Raises `EOFError` or `OSError` if the process ends, and `OutOfTurn`.
        """
        number = next(self._numbers).to_bytes(child.NUMBER, "big")
        described = encode(job)
        self.calls += 1
        self._calls.send_bytes(number + len(described).to_bytes(child.LENGTH, "big") + described + payload)
        while True:
            self._await()
            answer = self._calls.recv_bytes()
            if answer[: child.NUMBER] != number:
                raise OutOfTurn
            answer = answer[child.NUMBER :]
            if answer[:1] != child.PROGRESS:
                return answer
            progressed(decode(answer[1:]))

    def request_cancel(self) -> bool:
        """Let the running function see that its job was cancelled. Return False if the system cannot do that."""
        if not hasattr(signal, "SIGUSR1"):
            return False
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGUSR1)
        return True

    def kill(self) -> None:
        """Kill the process, and all processes that it has started."""
        # It may exit or be closed at any moment.
        with contextlib.suppress(OSError, ValueError):
            if self._group:
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            self._process.kill()

    def close(self, *, gently: bool = False) -> int | None:
        """End the process and all processes that it has started; return its exit code. An idle process may end `gently`."""
        self._calls.close()
        process = self._process
        if gently:
            process.join(_GONE)
        self.kill()
        process.join(_GONE)
        if process.exitcode is None and not process.is_alive():
            # Another thread has just reaped it and is about to store the exit code.
            process.join(0.1)
        code = self.exit_code = process.exitcode
        self._close_pipes()
        if code is not None:
            process.close()
        return code

    def after_fork_in_child(self) -> None:
        """Close the copies of the pipes, so that the process still ends when the parent closes its own."""
        for end in (self._calls, self._lifeline):
            end.close()
        if self._watcher is not None:
            # It is not a child of this process, which must not wait for it.
            self._watcher.returncode = 0

    def _close_pipes(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
        self._calls.close()
        self._lifeline.close()
        if self._exit_descriptor is not None:
            os.close(self._exit_descriptor)
            self._exit_descriptor = None

    def _exited(self) -> bool:
        descriptor = self._exit_descriptor
        # Without a look by `waitpid`, the number of the process stays taken until `close`.
        return bool(wait([descriptor], 0)) if descriptor is not None else not self._process.is_alive()

    def _waiting(self) -> Callable[[], None]:
        """Return a function that waits until there is an answer, or the process has ended.

        The end of the pipe alone is not sufficient: a program that a job has started may hold a copy of it.
        """
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._exit_descriptor = os.pidfd_open(self.pid)
                poll = select.poll()
                poll.register(self._exit_descriptor, select.POLLIN)
                poll.register(self._calls.fileno(), select.POLLIN)
                return self._wait_with(poll)
        return self._wait_looking

    def _wait_with(self, poll: select.poll) -> Callable[[], None]:
        calls = self._calls.fileno()

        def wait_for_answer() -> None:
            ready = dict(poll.poll())
            # An answer that was written before the end counts.
            if calls not in ready and not self._calls.poll():
                raise EOFError

        return wait_for_answer

    def _wait_looking(self) -> None:
        while not self._calls.poll(_LOOK):
            if not self._process.is_alive() and not self._calls.poll():
                raise EOFError


def read_answer(answer: bytes, label: str) -> Any:
    """Return the value in the answer to a call, or raise its error. `label` names the call."""
    kind, body = answer[:1], answer[1:]
    try:
        content = decode(body)
    except Exception as error:
        raise NotSendable(f"the result of {label}", f"this process could not unpickle it: {describe(error)}") from error
    if kind == child.VALUE:
        return content
    if kind == child.EXITED:
        text, trace = content
        exited = JobExited(label, text)
        exited.__cause__ = RemoteError(trace)
        raise exited
    raise unpack_failure(content, label)


def _watch_group(group: int, lifeline: Connection) -> subprocess.Popen[bytes] | None:
    """Start the shell that kills a process group when this process has ended; None if the system has none."""
    if not hasattr(os, "killpg") or not Path(_SHELL).exists():
        return None
    # In a session of its own, so that neither a terminal's Ctrl-C nor the end of the group ends it.
    return subprocess.Popen(  # noqa: S603 - our own text
        [_SHELL, "-c", _WATCH, "coterie-watcher", str(group)],
        stdin=lifeline.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


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
