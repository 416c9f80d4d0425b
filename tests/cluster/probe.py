"""An open-loop probe: asks that are due at fixed times, whatever the answers do, so that a stall shows in the figures."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from coterie import AgentRef
from coterie.concurrency import start_thread
from coterie.errors import DeliveryError

EVERY = 0.02


class Latencies:
    """The seconds of the asks that were due in a span of time, counted from when they were due; and how many have failed."""

    def __init__(self, seconds: list[float], failed: list[str]) -> None:
        self.seconds, self.failed = sorted(seconds), failed

    @property
    def p99(self) -> float:
        return self.seconds[len(self.seconds) * 99 // 100]


class Probe:
    """Asks agents in turn, an ask every 20 ms. As a context manager."""

    def __init__(self, targets: Sequence[tuple[AgentRef, Any]]) -> None:
        self._targets = targets
        self._over = threading.Event()
        self._found: list[tuple[float, float, str]] = []
        """When the ask was due, the seconds until its answer, and the error."""
        self._thread = start_thread(self._run, "probe")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def settle(self, seconds: float) -> None:
        """Ask for so long, before it counts."""
        time.sleep(seconds)

    def during(self, seconds: float) -> Latencies:
        """Return the latencies of the asks of the next seconds, once all have ended."""
        begin = time.monotonic()  # noqa: TID251 - of a test
        time.sleep(seconds + 12.0)
        found = [each for each in list(self._found) if begin <= each[0] < begin + seconds]
        return Latencies([each[1] for each in found], [each[2] for each in found if each[2]])

    def _run(self) -> None:
        began = time.monotonic()  # noqa: TID251 - as above
        for number in itertools.count():
            due = began + number * EVERY
            if self._over.wait(max(0.0, due - time.monotonic())):  # noqa: TID251 - as above
                return
            target, request = self._targets[number % len(self._targets)]
            reply: Any = target.ask(request, timeout=10.0)
            reply.add_callback(partial(self._ended, due, reply))

    def _ended(self, due: float, reply: Any) -> None:
        error: BaseException | None = reply.exception() if reply.done else None
        text = f"{error}" if isinstance(error, DeliveryError) else ""
        self._found.append((due, time.monotonic() - due, text))  # noqa: TID251 - as above
