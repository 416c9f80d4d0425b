"""Waiting for threads, conditions and idle agents, without fixed sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from coterie.concurrency import start_thread
from coterie.concurrency.threads import dump_stacks
from coterie.kernel import Countdown, SystemClock
from coterie.runtime import Runtime
from coterie.runtime.observation.quiescence import Activity, Quiescence
from coterie.testing.transport import LossyTransport


@runtime_checkable
class CountsFrames(Protocol):
    """A transport that counts the frames on their way."""

    @property
    def in_flight(self) -> int:
        """The number of frames that were sent and have not arrived."""
        ...


class Together:
    """Threads that run beside the test. `join` waits for them and raises the first error of any."""

    def __init__(self, *bodies: Callable[[], object]) -> None:
        self._errors: list[BaseException] = []
        self._threads = [start_thread(self._guarded(body), f"together-{n}") for n, body in enumerate(bodies)]

    @property
    def running(self) -> bool:
        """True while a thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self, timeout: float = 30.0) -> None:
        """Wait for all to end. Raises `AssertionError`, with all stacks, after `timeout` seconds."""
        countdown = Countdown(timeout)
        for thread in self._threads:
            thread.join(countdown.left())
            if thread.is_alive():
                raise AssertionError(f"{thread.name} did not end within {timeout:g} s\n{dump_stacks()}")
        if self._errors:
            raise self._errors[0]

    def _guarded(self, body: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - it is raised by `join`
                self._errors.append(error)

        return run


def run_together(*bodies: Callable[[], object], timeout: float = 30.0) -> None:
    """Run each body on a thread of its own, and return when all have ended. Raises the first error of any."""
    Together(*bodies).join(timeout)


def eventually(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return as soon as `condition` holds. Raises `AssertionError`, with all stacks, after `timeout` seconds.

    It is looked at each millisecond, and in at most a fifth of the time: one that collects garbage, which may take a second in a
    large process, keeps all other threads from running.
    """
    countdown = Countdown(timeout)
    pause = threading.Event()
    while True:
        began = SystemClock.thread()
        if condition():
            return
        if countdown.over:
            raise AssertionError(f"{what or 'the condition'} did not come true within {timeout:g} s\n{dump_stacks()}")
        pause.wait(max(0.001, 4 * (SystemClock.thread() - began)))


def wait_until_idle(runtime: Runtime, timeout: float = 10.0) -> None:
    """Return when no agent is at work: each has handled all its messages, or waits.

    Also waits for frames that a transport with `in_flight` carries, unless a test moves its clock. Raises `AssertionError`, with all stacks,
    after `timeout` seconds.
    """
    services = runtime._services  # noqa: SLF001 - a part of it
    transport = services.node_link.transport
    countdown = Countdown(timeout)
    while True:
        if isinstance(transport, CountsFrames) and not (isinstance(transport, LossyTransport) and transport.driven):
            eventually(lambda: transport.in_flight == 0, timeout, "that no frame is on its way")
        sent = services.node_link.link.statistics.sent
        activity = Quiescence(services.registry.cells).wait(countdown, through_waits=False)
        if activity is Activity.WORKING:
            raise AssertionError(f"agents were still at work after {timeout:g} s\n{dump_stacks()}")
        if services.node_link.link.statistics.sent == sent:
            return
