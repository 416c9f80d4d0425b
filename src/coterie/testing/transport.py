"""A transport that loses, repeats, delays and reorders frames by a seed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from coterie.concurrency import Timers
from coterie.errors import TransportError
from coterie.kernel import Clock, SystemClock, stream
from coterie.kernel.clock import DrivenClock
from coterie.messaging import Receive


class LossyTransport:
    """Connects runtimes of one process, and drops, repeats, delays and reorders their frames.

    The fate of a frame depends only on the seed, on its source and target, and on the number of earlier frames between
    them. `drop`, `duplicate` and `reorder` are probabilities. `delay` is the minimum and the maximum number of seconds
    that a frame takes, on `clock`. A reordered frame takes up to `behind` seconds longer, so that later ones overtake it.

    Safe from any thread. `_lock` guards the tables. Raises `ValueError` for probabilities and delays that are out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
        behind: float = 0.01,
        clock: Clock | None = None,
    ) -> None:
        if not all(0 <= chance <= 1 for chance in (drop, duplicate, reorder)) or not 0 <= delay[0] <= delay[1]:
            raise ValueError("drop, duplicate and reorder must be from 0 to 1, and delay a minimum and a maximum")
        self.seed = seed
        self.drop = drop
        self.duplicate = duplicate
        self.reorder = reorder
        self.delay = delay
        self.behind = behind
        self.counts: Counter[str] = Counter()
        """The numbers of frames sent, dropped, duplicated, reordered, and cut off by a partition."""
        self.in_flight = 0
        """The number of frames on their way."""
        self.driven = isinstance(clock, DrivenClock)
        """Whether a test moves the clock by which frames arrive."""
        self._timers = Timers(clock if clock is not None else SystemClock(), "lossy-transport")
        self._lock = threading.Lock()
        self._nodes: dict[str, Receive] = {}
        self._sent: Counter[tuple[str, str]] = Counter()
        self._sides: dict[str, int] = {}

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver frames for `node` to `receive`. Raises `TransportError` if the node is bound already."""
        with self._lock:
            if node in self._nodes:
                raise TransportError(f"the node {node} is bound already")
            self._nodes[node] = receive

    def close(self, node: str) -> None:
        """Stop delivery to `node`; the last node ends the timers."""
        with self._lock:
            self._nodes.pop(node, None)
            last = not self._nodes
        if last:
            self._timers.close()

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut the nodes of each side off from the other sides, until `heal`. Nodes on no side reach all."""
        with self._lock:
            self._sides = {node: number for number, side in enumerate(sides) for node in side}

    def heal(self) -> None:
        """End a partition."""
        self.partition()

    def send(self, source: str, target: str, frame: bytes) -> None:
        """Send a frame, unless it is dropped or cut off. Raises `TransportError` for an unknown target."""
        with self._lock:
            if target not in self._nodes:
                raise TransportError(f"no node {target} is bound here")
            number = self._sent[source, target]
            self._sent[source, target] += 1
            self.counts["sent"] += 1
            if self._sides.get(source, -1) != self._sides.get(target, -1) and {source, target} <= self._sides.keys():
                self.counts["cut off"] += 1
                return
        # Node names have a random part, which must not matter.
        random = stream(self.seed, source.rpartition("-")[0], target.rpartition("-")[0], number)
        if random.random() < self.drop:
            self._count("dropped")
            return
        copies = 1
        if random.random() < self.duplicate:
            self._count("duplicated")
            copies = 2
        for _ in range(copies):
            wait = random.uniform(*self.delay)
            if random.random() < self.reorder:
                self._count("reordered")
                wait += random.uniform(0.0, self.behind)
            if wait > 0:
                with self._lock:
                    self.in_flight += 1
                self._timers.call_later(wait, lambda: self._land(target, frame))
            else:
                self._deliver(target, frame)

    def _land(self, target: str, frame: bytes) -> None:
        try:
            self._deliver(target, frame)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _deliver(self, target: str, frame: bytes) -> None:
        receive = self._nodes.get(target)
        if receive is not None:
            receive(frame)

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1
