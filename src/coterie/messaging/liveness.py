"""The liveness of the nodes that a link has to do with."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import PeriodicJob, Timers
from coterie.errors import TransportError

_LOOKS = 10
"""Looks in the time for which a node may be silent."""
_LOST_KEPT = 1_000
"""Lost nodes that are remembered."""


class PeerLiveness:
    """Sends heartbeats to the nodes that are silent, and tells when one has been silent for too long.

    `heartbeat` sends one; `lost` is called once for a node that stays silent for `silence` seconds, or that the transport
    cannot reach. A node that is heard again counts as alive again: then `found` is called. `forgotten` is called for a node that was
    lost before so many others that it is not remembered any more. Safe from any thread: `_silent` and `_lost` change by single
    operations of a dictionary, in an order by which no node stays in both; a look, on the timers' thread, that misses a frame sees
    the next.
    """

    def __init__(
        self,
        timers: Timers,
        silence: float,
        heartbeat: Callable[[str], None],
        lost: Callable[[str, str], None],
        forgotten: Callable[[str], None],
        found: Callable[[str], None] = lambda node: None,  # noqa: ARG005 - the name says what it gets
    ) -> None:
        self.silence = silence
        self._timers = timers
        self._heartbeat = heartbeat
        self._lost_now = lost
        self._forgotten = forgotten
        self._found = found
        self._silent: dict[str, int] = {}
        """For each node, the looks since it was heard."""
        self._lost: dict[str, None] = {}
        self._job: PeriodicJob | None = None

    def watch(self, node: str) -> None:
        """Begin to look after a node, unless it is lost."""
        if node not in self._silent and node not in self._lost:
            self._silent[node] = 0
            if self._job is None:
                self._job = PeriodicJob(self._timers, self.silence / _LOOKS, self._look, "liveness")

    def heard(self, node: str) -> None:
        """Record that a frame of a node has arrived."""
        looks = self._silent.get(node)
        if looks:
            self._silent[node] = 0
            if node in self._lost:
                # It is being given up just now.
                self._find(node)
        elif looks is None:
            self._find(node)

    def _find(self, node: str) -> None:
        was_lost = self._lost.pop(node, False) is None
        self.watch(node)
        if was_lost:
            self._found(node)

    def is_lost(self, node: str) -> bool:
        """Return whether a node is lost."""
        return node in self._lost

    def close(self) -> None:
        """Look no more."""
        if self._job is not None:
            self._job.close()

    def _look(self) -> None:
        for node, looks in self._silent.copy().items():
            self._silent[node] = looks + 1
            if looks >= _LOOKS:
                self._lose(node, f"it has been silent for {self.silence:g} s")
            elif looks:
                try:
                    self._heartbeat(node)
                except TransportError as error:
                    self._lose(node, str(error))

    def _lose(self, node: str, why: str) -> None:
        self._lost[node] = None
        self._silent.pop(node, None)
        if len(self._lost) > _LOST_KEPT:
            oldest = next(iter(self._lost))
            self._lost.pop(oldest, None)
            self._forgotten(oldest)
        self._lost_now(node, why)
