"""Ids that callers choose, types that leave a process free, and the use of the machine."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidSetting, QueueFull
from coterie.kernel import SystemClock
from coterie.testing import ManualClock, eventually
from coterie.work import (
    ActionSystem,
    Bounds,
    Machine,
    ProcessingEngine,
    QueueLimits,
    QueueOverflow,
    Retention,
    Sizing,
    TaskType,
    current_job,
    process_usage,
)


def own_id() -> str:
    job = current_job()
    assert job is not None
    return job.id


@pytest.mark.parametrize("make", [ProcessingEngine, ActionSystem])
def test_a_job_has_the_id_that_its_submitter_gave_it(make: Any) -> None:
    with make() as system:
        find = system.job if make is ProcessingEngine else system.action
        job = system.submit(own_id, id="plan/7")
        assert job.result(10) == job.id == "plan/7"
        assert find("plan/7") is job
        made = system.submit(own_id)
        assert find(made.result(10)) is made
        assert find("plan/8") is None
        for function in (own_id, int):
            with pytest.raises(InvalidSetting, match="no live or retained job"):
                system.submit(function, id="plan/7")
        for wrong in ("", f"{system.name}-7", 7):
            with pytest.raises(InvalidSetting):
                system.submit(own_id, id=wrong)


def test_an_id_is_free_again_when_its_job_is_no_longer_retained() -> None:
    clock = ManualClock()
    with ProcessingEngine(clock=clock, keep=Retention(seconds=60.0)) as engine:
        first = engine.submit(own_id, id="mine")
        first.result(10)
        clock.advance(61.0)
        assert engine.job("mine") is None
        assert engine.submit(own_id, id="mine").result(10) == "mine"


def test_an_id_of_a_job_that_was_refused_is_free() -> None:
    bell = threading.Event()
    limits = QueueLimits(capacity=1, overflow=QueueOverflow.REJECT)
    with ProcessingEngine(threads=Bounds(1, 1), queue=limits) as engine:
        running = engine.submit(bell.wait, 10)
        eventually(lambda: engine.metrics().totals.running == 1)
        queued = engine.submit(int)
        with pytest.raises(QueueFull):
            engine.submit(own_id, id="mine", key="k")
        bell.set()
        assert (running.result(10), queued.result(10)) == (True, 0)
        assert engine.submit(own_id, id="mine", key="k").result(10) == "mine"
        # The job of the key has an id already.
        assert engine.submit(own_id, id="other", key="k").id == "mine"
        assert engine.job("other") is None


def test_a_job_in_a_process_knows_its_own_id() -> None:
    with ProcessingEngine(processes=Bounds(1, 1)) as engine:
        assert engine.submit(own_id, cpu_bound=True, id="far").result(30) == "far"


def wait_for(path: Path) -> bool:
    end = SystemClock().monotonic() + 20
    while not path.exists() and SystemClock().monotonic() < end:
        time.sleep(0.01)
    return path.exists()


def test_learning_leaves_a_process_free_for_other_types(tmp_path: Path) -> None:
    bell = tmp_path / "bell"
    sizing = Sizing(Machine(logical=2, physical=2))
    with ProcessingEngine(sizing, processes=Bounds(2, 2), cpu_bound=list(TaskType)) as engine:
        learning = [engine.submit(wait_for, bell, type="learning") for _ in range(3)]
        eventually(lambda: engine.metrics().lanes["learning"].running == 1, timeout=30)
        assert engine.submit(abs, -1, type="planning").result(30) == 1
        lanes = engine.metrics().lanes
        assert (lanes["learning"].running, lanes["learning"].queued) == (1, 2)
        bell.touch()
        assert all(job.result(30) for job in learning)


def test_a_single_process_runs_learning_too() -> None:
    with ProcessingEngine(Sizing(Machine(logical=1, physical=1)), cpu_bound=["learning"]) as engine:
        assert engine.submit(abs, -1, type="learning").result(30) == 1


def test_the_use_of_the_machine_is_measured() -> None:
    usage = process_usage(0.01)
    assert usage.threads >= 1
    assert usage.memory > 0
    assert 0 < usage.memory_part < 1
    with pytest.raises(InvalidSetting):
        process_usage(0)
