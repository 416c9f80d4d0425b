"""What engines and action systems show of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from coterie.work.pool.counts import LaneMetrics, ScalingEvent, add
from coterie.work.pool.pool import WorkPool


class WorkMetrics(msgspec.Struct, frozen=True):
    """An engine or an action system, at one moment. Taking it holds up no worker."""

    name: str
    lanes: dict[str, LaneMetrics]
    """By type of task, or by stage of action."""
    workers: dict[str, int]
    """Workers by pool: threads, processes."""
    busy: int
    """Workers that have a job now, and do not wait for another."""
    utilisation: float
    """The part of the workers that is busy, from 0 to 1."""
    abandoned: int
    """Threads whose job was given up and has not come back."""
    late: int
    """Attempts that came back after their job had been given up."""
    callback_errors: int
    scaling: tuple[ScalingEvent, ...]
    """The latest changes of the number of workers."""
    wait_per_compute: float | None = None
    """Seconds that jobs on threads wait for one in which they compute, as measured; None before enough was seen."""

    @property
    def totals(self) -> LaneMetrics:
        """The sums over all lanes."""
        sums = LaneMetrics()
        for lane in self.lanes.values():
            sums = add(sums, lane)
        return sums


def measure(name: str, pools: Mapping[str, WorkPool], wait_per_compute: float | None) -> WorkMetrics:
    """Return the metrics of several pools as one."""
    lanes: dict[str, LaneMetrics] = {}
    for pool in pools.values():
        for lane, counts in pool.measure().items():
            lanes[lane] = add(lanes[lane], counts) if lane in lanes else counts
    each: Sequence[WorkPool] = list(pools.values())
    workers = sum(len(pool.staff.workers) for pool in each)
    busy = sum(pool.staff.busy for pool in each)
    return WorkMetrics(
        name=name,
        lanes=lanes,
        workers={kind: len(pool.staff.workers) for kind, pool in pools.items()},
        busy=busy,
        utilisation=min(1.0, busy / workers) if workers else 0.0,
        abandoned=sum(len(pool.staff.abandoned) for pool in each),
        late=sum(pool.late for pool in each),
        callback_errors=sum(pool.callback_errors for pool in each),
        scaling=tuple(sorted((event for pool in each for event in pool.scaling.copy()), key=lambda event: event.at)),
        wait_per_compute=wait_per_compute,
    )
