"""The page of the machine: threads, pools, queues, rates, memory, sizes of files."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from coterie.concurrency import PROCESS_THREADS, Rank, new_lock
from coterie.console.page import Visit
from coterie.console.sources import Sources
from coterie.conversation import Conversations
from coterie.kernel import Clock
from coterie.memory import TieredMemory
from coterie.rounds import Simulation

_NUMBER = re.compile(r"[0-9a-f]{8}|\d+")
_ROWS = 40


class MachinePage:
    """Reads the page. Safe from any thread: `_lock` guards the counts of the last look, from which rates follow."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = new_lock(Rank.RECORDS)
        self._process = psutil.Process()
        self._last: dict[str, tuple[float, float]] = {}
        self._rates: dict[str, float] = {}

    def read(self, _: Visit) -> Mapping[str, Any]:
        """Read the page."""
        use = PROCESS_THREADS.use()
        names = Counter(_NUMBER.sub("…", thread.name) for thread in threading.enumerate())
        with self._process.oneshot():
            times, memory = self._process.cpu_times(), self._process.memory_info().rss
            files = self._process.num_fds() if hasattr(self._process, "num_fds") else 0
        runtimes = {name: runtime.metrics() for name, runtime in self._sources.runtimes().items()}
        return {
            "use": use,
            "names": names.most_common(_ROWS),
            "processor": self._rate("processor", times.user + times.system),
            "cores": psutil.cpu_count() or 1,
            "memory": memory,
            "free": psutil.virtual_memory().available,
            "files": files,
            "runtimes": [
                {"name": name, "metrics": each, "rate": self._rate(f"runtime {name}", each.totals.handled)}
                for name, each in runtimes.items()
            ],
            "worlds": [self._world(name, each) for name, each in self._sources.of(Simulation).items()],
            "hosts": [(name, each.metrics()) for name, each in self._sources.of(Conversations).items()],
            "memories": [(name, each.metrics()) for name, each in self._sources.of(TieredMemory).items()],
            "places": [(str(place), _size(place)) for place in self._sources.places],
        }

    def _world(self, name: str, simulation: Simulation) -> dict[str, Any]:
        world = simulation.plan.world
        statistics = world.statistics()
        return {
            "name": name,
            "statistics": statistics,
            "events": self._rate(f"events {name}", statistics.events),
            "commits": self._rate(f"commits {name}", statistics.commits),
            "log": world.log.database.name if world.log is not None else "in memory",
        }

    def _rate(self, name: str, count: float) -> float:
        """Return by how much a count grows in a second, since the last look that was not just now."""
        now = self._clock.monotonic()
        with self._lock:
            before = self._last.get(name)
            if before is None or now - before[0] > 0.2:  # noqa: PLR2004 - seconds; two pages may look at once
                self._last[name] = now, count
                if before is not None:
                    self._rates[name] = max(0.0, (count - before[1]) / (now - before[0]))
            return self._rates.get(name, 0.0)


def _size(place: Path) -> int:
    """Return the bytes of the databases of the runs in a place, as far as they can be read."""
    total = 0
    for path in (*place.glob("*.db*"), *place.glob("*/*.db*")):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
