"""Whatever happens to jobs, each ends once and is counted, and a shutdown ends."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from coterie.errors import QueueFull, WorkError, WorkStopped
from coterie.kernel import stream
from coterie.testing import checked_locks, run_together
from coterie.work import (
    ActionSystem,
    Bounds,
    CircuitBreaker,
    Job,
    Priority,
    ProcessingEngine,
    QueueLimits,
    ResourceLimits,
    Retry,
    TaskType,
)
from tests.runs import LONG


@pytest.fixture(autouse=True)
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Tally:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: list[Job[object]] = []
        self.refused = 0
        self.ends: Counter[int] = Counter()

    def keep(self, job: Job[object]) -> None:
        with self.lock:
            self.jobs.append(job)

    def end(self, job: Job[object]) -> None:
        with self.lock:
            self.ends[id(job)] += 1


def misbehave(what: float) -> float:
    if what < 0.1:
        raise OSError(what)
    if what < 0.12:
        time.sleep(0.002)
    if what < 0.13:
        raise SystemExit
    return what


def options(choose: random.Random) -> dict[str, object]:
    return {
        "priority": choose.choice(list(Priority)),
        "timeout": choose.choice([None, None, 0.0005, 1.0]),
        "deadline": choose.choice([None, None, None, 0.001, 5.0]),
        "retry": choose.choice([None, Retry(2, initial=0.0005, jitter=1.0)]),
    }


def check(tally: Tally, target: ProcessingEngine | ActionSystem) -> None:
    totals = target.metrics().totals
    assert all(job.done for job in tally.jobs)
    assert totals.submitted == len(tally.jobs)
    assert totals.submitted == totals.succeeded + totals.failed + totals.timed_out + totals.cancelled + totals.shed
    assert (totals.pending, totals.queued, totals.running) == (0, 0, 0)
    assert set(tally.ends.values()) == {1}
    assert len(tally.ends) == len(tally.jobs)
    by_state = Counter(job.state.name.lower() for job in tally.jobs)
    assert by_state == {name: count for name in by_state if (count := getattr(totals, name))}


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("overflow", ["wait", "reject", "shed"])
def test_every_job_ends_once_whatever_happens(overflow: str) -> None:
    count = 100_000 if LONG else 12_000
    with checked_locks() as violations:
        engine = ProcessingEngine(
            threads=Bounds(3, 6),
            queue=QueueLimits(capacity=200, overflow=overflow, patience=0.5),  # type: ignore[arg-type] # by its name
            balance_every=0.01,
        )
        tally = Tally()

        def send(sender: int) -> None:
            choose = stream(7, sender)
            for _ in range(count // 6):
                try:
                    job: Job[object] = engine.submit(
                        misbehave,
                        choose.random(),
                        type=choose.choice(list(TaskType)),
                        **options(choose),  # type: ignore[arg-type]
                    )
                except QueueFull:
                    tally.refused += 1
                    continue
                except WorkStopped:
                    return
                job.on_done(tally.end)
                tally.keep(job)
                if choose.random() < 0.1:
                    job.cancel()

        def stop(*, drain: bool) -> None:
            while len(tally.jobs) + tally.refused < count * 0.9:
                time.sleep(0.001)
            assert engine.stop(drain=drain, timeout=20.0).stuck == ()

        run_together(
            *(partial(send, sender) for sender in range(6)), partial(stop, drain=True), partial(stop, drain=False), timeout=500
        )
        check(tally, engine)
    assert violations == []


@pytest.mark.stress
@pytest.mark.timeout(600)
def test_every_action_ends_once_and_every_place_is_given_back() -> None:
    count = 100_000 if LONG else 8_000
    with checked_locks() as violations:
        applied: Counter[str] = Counter()

        def apply(action: Job[object], _: object) -> None:
            if action.number % 50 == 0:
                raise LookupError(action.id)
            applied[action.id] += 1

        system = ActionSystem(
            apply=apply,
            resources={"a": ResourceLimits(at_once=2), "b": ResourceLimits(at_once=3, rate=5_000.0, burst=10)},
            breaker=CircuitBreaker(failures=20, reset_after=0.001),
            workers=Bounds(3, 6),
            queue=QueueLimits(capacity=500),
            balance_every=0.01,
        )
        tally = Tally()

        def send(sender: int) -> None:
            choose = stream(8, sender)
            for _ in range(count // 4):
                try:
                    action: Job[object] = system.submit(
                        misbehave,
                        choose.random(),
                        resource=choose.choice([None, "a", "b"]),
                        target=choose.choice([None, "bank"]),
                        **options(choose),  # type: ignore[arg-type]
                    )
                except WorkError:
                    tally.refused += 1
                    continue
                action.on_done(tally.end)
                tally.keep(action)
                if choose.random() < 0.1:
                    action.cancel()

        run_together(*(partial(send, sender) for sender in range(4)), timeout=500)
        assert system.stop(timeout=60.0).stuck == ()
        check(tally, system)
        assert {each.in_use for each in system.metrics().resources.values()} == {0}
        assert set(applied.values()) == {1}
    assert violations == []
