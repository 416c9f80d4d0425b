"""Parts that both engines share: option checks, metrics over pools, the interrupt guard, retry jitter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import coterie.concurrency
import coterie.kernel
from coterie.concurrency.interrupts import InterruptGuard
from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.work.jobs import Retry
from coterie.work.pool import Bounds, QueueLimits, Retention, WorkPool
from coterie.work.pool.metrics import LaneMetrics, WorkMetrics, add
from coterie.work.pool.status import worker_status
from coterie.work.sizing import Sizing

_HERE = Path(__file__).parent
_BOOKKEEPING = [
    *(str(_HERE / folder) for folder in ("actions", "jobs", "pool")),
    *(str(Path(path).parent) for path in (coterie.concurrency.__file__, coterie.kernel.__file__)),
]
"""Folders whose code Ctrl-C must not interrupt, except where it waits."""


def new_guard() -> InterruptGuard:
    """Return a held guard that keeps Ctrl-C from interrupting the bookkeeping of jobs."""
    guard = InterruptGuard(*_BOOKKEEPING)
    guard.hold()
    return guard


def new_random(seed: int | None) -> Random:
    """Return a source of retry jitter."""
    return Random(seed)  # noqa: S311 - jitter needs no cryptographic randomness


def check_job(where: str, timeout: Any, deadline: Any, retry: Any) -> None:
    """Raise `InvalidSetting` unless the options of a job are valid."""
    check_number(f"{where}.timeout", timeout, above=0, optional=True)
    check_number(f"{where}.deadline", deadline, above=0, optional=True)
    if retry is not None:
        check_instance(f"{where}.retry", retry, Retry, "a policy: Retry(3), or None")


def check_engine(where: str, name: Any, sizing: Any, queue: Any, keep: Any, balance_every: Any, *bounds: Any) -> None:
    """Raise `InvalidSetting` unless the options of an engine are valid."""
    if not isinstance(name, str) or not name:
        raise InvalidSetting(f"{where}.name", name, "a text that is not empty")
    if sizing is not None:
        check_instance(f"{where}.sizing", sizing, Sizing, "a sizing: Sizing.detect()")
    check_instance(f"{where}.queue", queue, QueueLimits, "limits: QueueLimits(capacity=...)")
    check_instance(f"{where}.keep", keep, Retention, "a retention: Retention(count=..., seconds=...)")
    check_number(f"{where}.balance_every", balance_every, above=0)
    for each in bounds:
        if each is not None:
            check_instance(f"{where} bounds", each, Bounds, "bounds: Bounds(least, most)")


def measure_pools(name: str, pools: Mapping[str, WorkPool], wait_per_compute: float | None) -> WorkMetrics:
    """Return the metrics of several pools as one."""
    lanes: dict[str, LaneMetrics] = {}
    for pool in pools.values():
        for lane, counts in pool.table.measure().items():
            lanes[lane] = add(lanes[lane], counts) if lane in lanes else counts
    each = list(pools.values())
    workers = sum(len(pool.workers.members) for pool in each)
    busy = sum(pool.workers.busy for pool in each)
    return WorkMetrics(
        name=name,
        lanes=lanes,
        workers={kind: len(pool.workers.members) for kind, pool in pools.items()},
        busy=busy,
        utilisation=min(1.0, busy / workers) if workers else 0.0,
        abandoned=sum(len(pool.workers.abandoned) for pool in each),
        late=sum(pool.table.late for pool in each),
        callback_errors=sum(pool.table.callback_errors for pool in each),
        scaling=tuple(sorted((event for pool in each for event in pool.scaling.copy()), key=lambda event: event.at)),
        wait_per_compute=wait_per_compute,
        worker_status=worker_status(pools),
        retained_bytes=sum(pool.table.retained.bytes for pool in each),
        unheard=sum(pool.table.unheard.count for pool in each),
    )
