"""Threads in a chosen order: seeded and repeatable interleavings for unchanged code, and numbered steps."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from coterie.concurrency import Thread, start_thread
from coterie.concurrency.locks import replace_making
from coterie.concurrency.threads import dump_stacks
from coterie.kernel import Countdown

_MAX_STEPS = 100_000
"""Steps of one run; more mean a livelock."""


class Deadlock(AssertionError):
    """All unfinished threads wait for locks."""


@dataclass(slots=True)
class Schedule:
    """The thread chosen at each step, with which a run can be repeated."""

    choices: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"Schedule({self.choices})"


class Interleaver:
    """Runs threads one step at a time, and chooses after each step which of them goes on.

    A step is one line, or with `opcodes` one bytecode instruction, of the functions that are `traced`; other code
    runs as part of a step. Taking a lock that `new_lock` made within `locks()` is a step too. The interleaver does not
    choose a thread that waits for such a lock; if all threads wait, it raises `Deadlock`.

    ::

        threads = Interleaver([Mailbox.put, Mailbox.take])
        for seed in range(1000):
            with threads.locks():
                mailbox = make_mailbox()
            threads.run([lambda: mailbox.put(a), lambda: taken.append(mailbox.take())], Random(seed))
            assert ...

    One run at a time; not safe for several threads.
    """

    def __init__(self, traced: Iterable[Callable[..., Any]], *, opcodes: bool = False) -> None:
        self._codes = {_code(function) for function in traced}
        self._opcodes = opcodes
        self._threads: list[_Thread] = []
        self._here = threading.local()
        self._control = threading.Semaphore(0)

    def locks(self) -> AbstractContextManager[None]:
        """Return a context in which `new_lock` makes locks that this interleaver can see."""
        return replace_making(lambda _: _SteppedLock(self))

    def run(self, bodies: Sequence[Callable[[], object]], choose: Random | Schedule) -> Schedule:
        """Run the bodies to their ends, interleaved by chance or as in an earlier run. Return the schedule.

        Raises the exception of a body, `Deadlock`, and `AssertionError` if the run does not end. The error names the
        schedule, with which the run can be repeated.
        """
        taken = Schedule()
        wanted = iter(choose.choices if isinstance(choose, Schedule) else ())
        self._threads = [_Thread(number, body, self) for number, body in enumerate(bodies)]
        for thread in self._threads:
            thread.start()
            self._await()
        try:
            while any(not thread.ended for thread in self._threads):
                ready = self._ready(taken)
                number = next(wanted, None)
                if isinstance(choose, Random):
                    thread = choose.choice(ready)
                else:
                    thread = next((each for each in ready if each.number == number), ready[0])
                taken.choices.append(thread.number)
                thread.go_on()
                self._await()
        except AssertionError:
            for thread in self._threads:
                thread.abandon()
            raise
        for thread in self._threads:
            if thread.error is not None:
                thread.error.add_note(str(taken))
                raise thread.error
        return taken

    def _ready(self, taken: Schedule) -> list[_Thread]:
        ready = [thread for thread in self._threads if thread.is_ready]
        if not ready:
            raise Deadlock(f"all wait for locks, after {taken}")
        if len(taken.choices) >= _MAX_STEPS:
            raise AssertionError(f"no end after {_MAX_STEPS} steps")
        return ready

    def _await(self) -> None:
        if not self._control.acquire(timeout=10.0):
            raise AssertionError("a step does not end: it blocks on something that the interleaver cannot see")

    def pause(self) -> None:
        """End the step of the calling thread, and wait to be chosen. On other threads this does nothing.

        Raises `SystemExit` in a thread of a run that has failed, to end the thread.
        """
        thread: _Thread | None = getattr(self._here, "thread", None)
        if thread is not None and not thread.abandoned:
            self._control.release()
            thread.bell.acquire()
            if thread.abandoned:
                raise SystemExit

    def wait_for(self, lock: _SteppedLock) -> bool:
        """End the step of the calling thread until a lock is free. Return False on other threads."""
        thread: _Thread | None = getattr(self._here, "thread", None)
        if thread is None:
            return False
        thread.waits_for = lock
        self.pause()
        thread.waits_for = None
        return True

    def enter(self, thread: _Thread) -> None:
        """Begin stepping the calling thread."""
        self._here.thread = thread
        sys.settrace(self._trace)
        self.pause()

    def leave(self) -> None:
        """End stepping the calling thread."""
        sys.settrace(None)
        self._here.thread = None
        self._control.release()

    def _trace(self, frame: types.FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002 - as sys.settrace wants it
        if frame.f_code not in self._codes:
            return None
        frame.f_trace_opcodes = self._opcodes
        return self._step

    def _step(self, frame: types.FrameType, event: str, arg: Any) -> Any:  # noqa: ARG002 - as sys.settrace wants it
        if event == ("opcode" if self._opcodes else "line"):
            self.pause()
        return self._step


class _Thread:
    def __init__(self, number: int, body: Callable[[], object], interleaver: Interleaver) -> None:
        self.number = number
        self.bell = threading.Semaphore(0)
        self.ended = False
        self.abandoned = False
        self.error: BaseException | None = None
        self.waits_for: _SteppedLock | None = None
        self._body = body
        self._interleaver = interleaver

    @property
    def is_ready(self) -> bool:
        return not self.ended and (self.waits_for is None or not self.waits_for.locked())

    def start(self) -> None:
        start_thread(self._run, f"interleaved-{self.number}")

    def go_on(self) -> None:
        self.bell.release()

    def abandon(self) -> None:
        self.abandoned = True
        self.bell.release()

    def _run(self) -> None:
        try:
            self._interleaver.enter(self)
            self._body()
        except SystemExit:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            self.error = error
        finally:
            self.ended = True
            self._interleaver.leave()


class _SteppedLock:
    """A lock that, where it would block, lets the interleaver go on with another thread."""

    def __init__(self, interleaver: Interleaver) -> None:
        self._interleaver = interleaver
        self._lock = threading.Lock()
        self._owner: int | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - as threading.Lock
        # Another thread may take the lock first, so taking it is a step of its own.
        self._interleaver.pause()
        taken = self._acquire(blocking, timeout)
        if taken:
            self._owner = threading.get_ident()
        return taken

    def _acquire(self, blocking: bool, timeout: float) -> bool:  # noqa: FBT001 - as threading.Lock
        while not self._lock.acquire(blocking=False):
            if not blocking or timeout >= 0:
                return self._lock.acquire(blocking, timeout)
            if not self._interleaver.wait_for(self):
                return self._lock.acquire()
        return True

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()

    def release(self) -> None:
        self._owner = None
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def _code(function: Callable[..., Any]) -> types.CodeType:
    function = getattr(function, "__func__", function)
    code: types.CodeType = function.__code__
    return code


class SequenceTimeout(AssertionError):
    """A step was not reached in time, or was passed twice."""


class Sequencer:
    """Orders threads at numbered points of their code.

    ::

        steps = Sequencer()
        steps.start(lambda: (steps(0), write("a"), steps(3)))
        steps.start(lambda: (steps(1), write("b"), steps(2)))
        steps.join()

    ``steps(n)`` blocks until all smaller numbers, from 0 on, have been passed, so the numbers and not the
    scheduler decide which thread goes first. Each number is passed once. It is trio's ``Sequencer`` for threads.

    Safe from any thread. `_turn` guards its attributes.
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._turn = threading.Condition()
        self._next = 0
        self._taken: set[int] = set()
        self._failed: list[BaseException] = []
        self._threads: list[Thread] = []

    def __call__(self, step: int) -> None:
        """Wait for all smaller steps, then pass.

        Raises `SequenceTimeout` after `timeout` seconds, or if the step was passed already.
        """
        countdown = Countdown(self.timeout)
        with self._turn:
            if step in self._taken:
                raise SequenceTimeout(f"step {step} was passed already")
            self._taken.add(step)
            while self._next < step:
                if not self._turn.wait(countdown.left()):
                    raise SequenceTimeout(f"step {step} timed out waiting for step {self._next}\n{dump_stacks()}")
            self._next = step + 1
            self._turn.notify_all()

    def start(self, body: Callable[[], object]) -> Thread:
        """Run `body` on a thread of its own, and return the thread; `join` raises its exception."""

        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - it is raised in the test
                self._failed.append(error)

        thread = start_thread(run, f"sequenced-{len(self._threads)}")
        self._threads.append(thread)
        return thread

    def join(self) -> None:
        """Wait for all started threads. Raises the first exception of any, and `SequenceTimeout`."""
        countdown = Countdown(self.timeout)
        for thread in self._threads:
            thread.join(countdown.left())
            if thread.is_alive():
                raise SequenceTimeout(f"{thread.name} did not end\n{dump_stacks()}")
        if self._failed:
            raise self._failed[0]
