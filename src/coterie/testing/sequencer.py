"""Threads that pass numbered steps in order."""

from __future__ import annotations

import threading
from collections.abc import Callable

from coterie.concurrency import Thread, start_thread
from coterie.concurrency.threads import dump_stacks
from coterie.kernel import Countdown


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
