"""Waiting for conditions and idle agents, without fixed sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable

from coterie.concurrency.threads import dump_stacks
from coterie.kernel import Countdown
from coterie.runtime import Runtime
from coterie.runtime.observation.quiescence import Activity, Quiescence
from coterie.testing.transport import LossyTransport


def eventually(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return as soon as `condition` holds. Raises `AssertionError`, with all stacks, after `timeout` seconds."""
    countdown = Countdown(timeout)
    pause = threading.Event()
    while not condition():
        if countdown.over:
            raise AssertionError(f"{what or 'the condition'} did not come true within {timeout:g} s\n{dump_stacks()}")
        pause.wait(0.001)


def wait_until_idle(runtime: Runtime, timeout: float = 10.0) -> None:
    """Return when no agent is at work: each has handled all its messages, or waits.

    Also waits for frames that a `LossyTransport` delays by the system's clock. Raises `AssertionError`, with all stacks,
    after `timeout` seconds.
    """
    services = runtime._services  # noqa: SLF001 - a part of it
    transport = services.node_link.transport
    countdown = Countdown(timeout)
    while True:
        if isinstance(transport, LossyTransport) and not transport.driven:
            eventually(lambda: transport.in_flight == 0, timeout, "that no frame is on its way")
        sent = services.node_link.link.statistics.sent
        activity = Quiescence(services.registry.cells).wait(countdown, through_waits=False)
        if activity is Activity.WORKING:
            raise AssertionError(f"agents were still at work after {timeout:g} s\n{dump_stacks()}")
        if services.node_link.link.statistics.sent == sent:
            return
