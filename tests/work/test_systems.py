"""What engines and action systems have in common, and what an engine adds: status, health, restart, keys, maps, processes."""

import asyncio
import itertools
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidSetting, JobCancelled, WorkStopped
from coterie.errors.work import KeyConflict, WorkerStartFailed
from coterie.kernel import SystemClock
from coterie.memory import MemoryConfig, TieredMemory
from coterie.testing import ManualClock, eventually
from coterie.work import ActionSystem, Bounds, JobState, ProcessingEngine, Retention, TaskType, current_job
from coterie.work.pool.metrics import WorkerState
from coterie.world import World

ONE = Bounds(1, 1)


def fail(*_: object) -> None:
    raise OSError("no")


# Who does what.


def test_each_worker_tells_its_state_its_task_and_its_load() -> None:
    clock = ManualClock()
    bell = threading.Event()
    with ProcessingEngine(threads=Bounds(2, 2), clock=clock) as engine:
        job = engine.submit(bell.wait, 10, type=TaskType.PLANNING)
        eventually(lambda: job.state is JobState.RUNNING)
        engine.submit(int).result(5)
        clock.advance(4.0)
        eventually(lambda: len(engine.workers()) == 2)
        busy, idle = sorted(engine.workers(), key=lambda each: each.job is None)
        assert (busy.state, busy.job, busy.task, busy.seconds) == (WorkerState.BUSY, job.id, job.name, 4.0)
        assert (idle.state, idle.job, idle.attempts, idle.load) == (WorkerState.IDLE, None, 1, 0.0)
        assert busy.load == 1.0
        assert engine.metrics().worker_status == engine.workers()
        bell.set()


def test_a_worker_whose_job_waits_and_one_that_is_abandoned_say_so() -> None:
    bell = threading.Event()
    with ProcessingEngine(threads=Bounds(1, 2)) as engine:
        outer = engine.submit(lambda: engine.submit(bell.wait, 10).result())
        eventually(lambda: {each.state for each in engine.workers()} == {WorkerState.WAITING, WorkerState.BUSY})
        bell.set()
        assert outer.result(5)
        bell.clear()
        engine.submit(bell.wait, 10, timeout=0.01).exception(5)
        assert WorkerState.ABANDONED in {each.state for each in engine.workers()}
        bell.set()


def test_jobs_are_listed_by_state() -> None:
    bell = threading.Event()
    with ProcessingEngine(threads=ONE) as engine:
        failed = engine.submit(fail)
        failed.exception(5)
        running = engine.submit(bell.wait, 10)
        queued = engine.submit(int)
        eventually(lambda: running.state is JobState.RUNNING)
        assert engine.jobs() == [failed, running, queued]
        assert engine.jobs("queued", JobState.RUNNING) == [running, queued]
        assert engine.dead() == [failed]
        bell.set()
    with pytest.raises(InvalidSetting):
        engine.jobs("sleeping")


# Health and restart.


@pytest.mark.parametrize("system", [ProcessingEngine, ActionSystem])
def test_hung_workers_are_seen_and_a_restart_brings_the_system_back(system: Any) -> None:
    clock = ManualClock()
    bell = threading.Event()
    bounds = {"threads": ONE} if system is ProcessingEngine else {"workers": ONE}
    with system(clock=clock, **bounds) as engine:
        hung = engine.submit(bell.wait, 20)
        waiting = engine.submit(int)
        eventually(lambda: hung.state is JobState.RUNNING)
        assert engine.health(10.0).well
        clock.advance(11.0)
        health = engine.health(10.0)
        assert not health.well
        assert "others wait" in health.problem
        assert (health.queued, health.busy, health.workers, health.oldest_wait) == (1, 1, 1, 11.0)
        assert [each.name for each in engine.restart(timeout=0.0).stuck] == ["Event.wait"]
        assert isinstance(waiting.exception(5), JobCancelled)
        assert isinstance(hung.exception(5), JobCancelled)
        again = engine.submit(int)
        assert again.result(5) == 0
        assert again.id not in (hung.id, waiting.id)
        assert engine.health().well
        bell.set()


@pytest.mark.parametrize("system", [ProcessingEngine, ActionSystem])
def test_a_stopped_system_is_not_well_and_can_be_restarted(system: Any) -> None:
    with system(name="mine") as engine:
        engine.stop()
        assert engine.health().problem == "mine has been stopped"
        with pytest.raises(WorkStopped):
            engine.submit(int)
        engine.restart()
        assert engine.submit(int).result(5) == 0


def test_dead_actions_and_keys_outlive_a_restart() -> None:
    with ActionSystem(breaker=None) as actions:
        first = actions.submit(fail, retry=None, key="once")
        first.exception(5)
        actions.restart()
        assert [dead.id for dead in actions.dead()] == [first.id]
        assert actions.submit(fail, retry=None, key="once") is first


@pytest.mark.parametrize("system", [ProcessingEngine, ActionSystem])
def test_admission_may_refuse(system: Any) -> None:
    asked: list[int] = []

    def admit(amount: int) -> None:
        asked.append(amount)
        if len(asked) > 1:
            raise MemoryError

    with system(admit=admit) as engine:
        engine.submit(int).result(5)
        with pytest.raises(MemoryError):
            engine.submit(int)
        assert engine.metrics().totals.submitted == 1
    with pytest.raises(InvalidSetting, match="admit"):
        system(admit=5)


# From an event loop.


def test_stop_on_an_event_loop_does_not_hold_it() -> None:
    async def main() -> None:
        bell = threading.Event()
        engine = ProcessingEngine(threads=ONE)
        job = engine.submit(bell.wait, 10)
        report = engine.stop()
        assert not report.done
        with pytest.raises(WorkStopped):
            engine.submit(int)
        bell.set()
        assert (await report).drained
        assert job.done
        assert report.stuck == ()

    asyncio.run(main())


@pytest.mark.parametrize("make", [ProcessingEngine, ActionSystem, lambda: TieredMemory(MemoryConfig()), World])
def test_async_with_ends_off_the_loop(make: Any) -> None:
    async def main() -> str:
        async with make() as made:
            name = threading.current_thread().name
            closing = made.__exit__
        assert closing
        return name

    assert asyncio.run(main()) == threading.current_thread().name


def test_an_error_of_the_end_leaves_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ProcessingEngine()

    async def main() -> None:
        async with engine:
            monkeypatch.setattr(engine, "_stop", fail)

    with pytest.raises(TypeError):
        asyncio.run(main())
    monkeypatch.undo()
    engine.stop()


# Keys and handlers.


def test_a_result_is_computed_once_for_a_key() -> None:
    clock = ManualClock()
    calls: list[int] = []

    def think(number: int) -> int:
        calls.append(number)
        if number < 0:
            raise OSError
        return number * number

    with ProcessingEngine(clock=clock, cache=Retention(count=2, seconds=60.0)) as engine:
        heard: list[int] = []
        results = [
            engine.submit(think, 4, key="think/4", callback=lambda job: heard.append(job.result())).result(5) for _ in range(3)
        ]
        assert (results, calls, heard) == ([16, 16, 16], [4], [16, 16, 16])
        assert engine.job("think/4") is engine.submit(think, 4, key="think/4")
        with pytest.raises(KeyConflict):
            engine.submit(fail, key="think/4")
        for _ in range(2):
            engine.submit(think, -1, key="think/-1").exception(5)
        assert calls == [4, -1, -1]
        clock.advance(61.0)
        engine.submit(think, 4, key="think/4").result(5)
        assert calls == [4, -1, -1, 4]


def test_a_handler_for_each_type_of_job() -> None:
    with ProcessingEngine(handlers={"planning": math.isqrt, TaskType.LEARNING: math.factorial}) as engine:
        job = engine.process("planning", 16)
        assert (job.type, job.result(5)) == ("planning", 4)
        assert engine.process(TaskType.LEARNING, 3, priority="high").result(5) == 6
        with pytest.raises(InvalidSetting, match="planning, learning"):
            engine.process("reasoning", 1)


# Maps.


def test_a_map_takes_no_more_than_its_window() -> None:
    taken: list[int] = []

    def items() -> Any:
        for number in itertools.count():
            taken.append(number)
            yield number

    with ProcessingEngine(threads=Bounds(2, 2)) as engine:
        values = engine.map(lambda number: number * 2, items(), chunk=2, window=3)
        assert len(taken) == 6
        assert [next(values) for _ in range(4)] == [0, 2, 4, 6]
        assert len(taken) <= 12
        values.close()  # type: ignore[attr-defined] # the iterator has it
        assert list(engine.map(pow, [2, 3], [4, 5, 6])) == [16, 243]
        assert list(engine.map(pow, [], [])) == []


def test_a_map_raises_the_error_of_its_items_in_its_place() -> None:
    def items() -> Any:
        yield from range(3)
        raise LookupError

    with ProcessingEngine() as engine:
        got: list[int] = []
        with pytest.raises(LookupError):
            got.extend(engine.map(abs, items(), window=2))
        assert got == [0, 1, 2]
        with pytest.raises(LookupError):
            engine.map(abs, items(), window=4)


# Processes.


def look() -> tuple[str, str] | None:
    job = current_job()
    return None if job is None else (job.id, job.name)


def work_in_steps(path: str) -> str:
    job = current_job()
    assert job is not None
    job.report_progress(0.5, "half")
    Path(path).touch()
    end = SystemClock.monotonic() + 20
    while SystemClock.monotonic() < end:
        if job.cancel_requested:
            Path(path).unlink()
            raise JobCancelled("itself", "it was asked to")
        time.sleep(0.005)
    return "to the end"


def variables() -> list[str | None]:
    return [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]


def prepare() -> None:
    os.environ["PREPARED"] = str(os.getpid())


def prepared() -> tuple[str | None, int]:
    return os.environ.get("PREPARED"), os.getpid()


def test_a_job_in_a_process_knows_itself_reports_progress_and_can_be_asked_to_end(tmp_path: Path) -> None:
    with ProcessingEngine(processes=ONE) as engine:
        job = engine.submit(look, cpu_bound=True)
        assert job.result(30) == (job.id, "look")
        pid = engine.workers()[-1].pid
        begun = tmp_path / "begun"
        long = engine.submit(work_in_steps, str(begun), cpu_bound=True)
        eventually(begun.exists, timeout=20)
        eventually(lambda: long.progress is not None)
        assert long.progress is not None
        assert (long.progress.fraction, long.progress.text) == (0.5, "half")
        assert long.cancel(grace=20.0)
        assert isinstance(long.exception(20), JobCancelled)
        assert long.state is JobState.CANCELLED
        assert not begun.exists()
        # It ended by itself, so its process goes on.
        assert engine.submit(os.getpid, cpu_bound=True).result(30) == pid


def test_progress_is_reported_on_threads_too() -> None:
    def work() -> None:
        job = current_job()
        assert job is not None
        job.report_progress(7.0, "beyond")

    with ProcessingEngine() as engine:
        job = engine.submit(work)
        job.result(5)
        assert job.progress is not None
        assert (job.progress.fraction, job.progress.text) == (1.0, "beyond")


def test_processes_are_prepared_limited_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    with ProcessingEngine(processes=Bounds(1, 1), initializer=prepare, max_tasks_per_child=2) as engine:
        seen = [engine.submit(prepared, cpu_bound=True).result(30) for _ in range(3)]
        assert all(said == str(pid) for said, pid in seen)
        assert [pid == seen[0][1] for _, pid in seen] == [True, True, False]
        one, two, three = engine.submit(variables, cpu_bound=True).result(30)
        assert one == two
        assert int(one or 0) >= 1
        assert three == "7"
    assert "OMP_NUM_THREADS" not in os.environ
    with ProcessingEngine(processes=ONE, max_memory_per_child=1) as engine:
        pids = {engine.submit(os.getpid, cpu_bound=True).result(30) for _ in range(2)}
        assert len(pids) == 2


def test_an_initializer_that_fails_is_named() -> None:
    with ProcessingEngine(processes=ONE, initializer=fail) as engine:
        error = engine.submit(os.getpid, cpu_bound=True).exception(30)
        assert isinstance(error, WorkerStartFailed)
        assert isinstance(error.__cause__, OSError)
        assert "its start, or its initializer, raised OSError: no" in str(error)
        assert "__main__" not in str(error)


_UNGUARDED = """
import math
from coterie.work import ProcessingEngine
with ProcessingEngine() as engine:
    print(engine.submit(math.factorial, 5, cpu_bound=True).result(30))
"""


def test_a_program_without_the_main_guard_is_told_so_once(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_UNGUARDED)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=45, check=False)  # noqa: S603 - our own code
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("__main__") == 1, done.stderr
    assert done.stderr.splitlines()[-1].count("if __name__") == 1
    assert "freeze_support" not in done.stderr
