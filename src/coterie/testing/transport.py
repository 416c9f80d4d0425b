"""A transport on which everything goes wrong that can, the same way each time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from coterie.concurrency import Timers
from coterie.errors import TransportError
from coterie.kernel import Clock, DrivenClock, SystemClock, stream
from coterie.messaging import Receive


class LossyTransport:
    """Connects runtimes of one process, and drops, repeats, delays and reorders their frames.

    What happens to a frame depends on the seed, on who sends it to whom, and on how many went that way before it, and
    on nothing else. `drop`, `duplicate` and `reorder` are probabilities; `delay` is the least and the greatest number
    of seconds that a frame takes, on `clock`; a reordered frame takes up to `behind` seconds longer, so that later ones
    overtake it.

    Safe from any thread. `_lock` guards the tables.
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
            raise ValueError("probabilities go from 0 to 1, and a delay from its least to its greatest")
        self.seed = seed
        self.drop = drop
        self.duplicate = duplicate
        self.reorder = reorder
        self.delay = delay
        self.behind = behind
        self.counts: Counter[str] = Counter()
        """How many frames were sent, dropped, duplicated, reordered, and cut off by a partition."""
        self.in_flight = 0
        """How many frames are on their way."""
        self.driven = isinstance(clock, DrivenClock)
        """Whether frames land when somebody moves the clock."""
        self._timers = Timers(clock if clock is not None else SystemClock(), "lossy-transport")
        self._lock = threading.Lock()
        self._nodes: dict[str, Receive] = {}
        self._sent: Counter[tuple[str, str]] = Counter()
        self._sides: dict[str, int] = {}

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver what comes for `node` to `receive`."""
        with self._lock:
            if node in self._nodes:
                raise TransportError(f"the node {node} is bound already")
            self._nodes[node] = receive

    def close(self, node: str) -> None:
        """Deliver nothing more to `node`; end the timers with the last one."""
        with self._lock:
            self._nodes.pop(node, None)
            last = not self._nodes
        if last:
            self._timers.close()

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut the nodes of each side off from those of the others, until `heal`. Nodes on no side reach all."""
        with self._lock:
            self._sides = {node: number for number, side in enumerate(sides) for node in side}

    def heal(self) -> None:
        """Let all nodes reach each other again."""
        self.partition()

    def send(self, source: str, target: str, frame: bytes) -> None:
        """Send a frame, or not."""
        with self._lock:
            if target not in self._nodes:
                raise TransportError(f"no node {target} is bound here")
            number = self._sent[source, target]
            self._sent[source, target] += 1
            self.counts["sent"] += 1
            if self._sides.get(source, -1) != self._sides.get(target, -1) and {source, target} <= self._sides.keys():
                self.counts["cut off"] += 1
                return
        # The names of nodes have a random part, which must not matter.
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
