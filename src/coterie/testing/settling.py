"""Waiting for what threads do, without guessing how long it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from coterie.concurrency import dump_stacks
from coterie.kernel import Countdown
from coterie.runtime import Runtime
from coterie.runtime.quiescence import Activity, Quiescence


def eventually(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return as soon as `condition` holds. Raises `AssertionError`, with all stacks, after `timeout` seconds."""
    countdown = Countdown(timeout)
    pause = threading.Event()
    while not condition():
        if countdown.over:
            raise AssertionError(f"{what or 'the condition'} did not come true within {timeout:g} s\n{dump_stacks()}")
        pause.wait(0.001)


def settle(runtime: Runtime, timeout: float = 10.0) -> None:
    """Return once no agent is at work: each has handled all it was sent, or waits for something.

    Raises `AssertionError`, with all stacks, after `timeout` seconds.
    """
    activity = Quiescence(runtime._services).wait(Countdown(timeout), through_waits=False)  # noqa: SLF001 - a part of it
    if activity is Activity.WORKING:
        raise AssertionError(f"agents were still at work after {timeout:g} s\n{dump_stacks()}")
