"""One scenario over combinations of settings and seeds, in parallel processes."""

from __future__ import annotations

import csv
import io
import itertools
import multiprocessing
import signal
import statistics
import threading
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import ScenarioError, describe
from coterie.orchestrator.running import run_scenario
from coterie.orchestrator.scenario import check_scenario

_MOST = 100_000
"""Runs of one sweep."""


class SweepRun(msgspec.Struct, frozen=True):
    """One run of a sweep, as plain data: another process finds the kind again by the file's path."""

    settings: dict[str, Any]
    seed: int
    data: dict[str, Any]
    path: str


class SweepRow(msgspec.Struct, frozen=True):
    """The result of one run of a sweep."""

    settings: dict[str, Any]
    seed: int
    figures: dict[str, Any] = {}
    forfeits: int = 0
    digest: str = ""
    error: str = ""
    """The reason of a failure; empty after success."""


def parse_setting(text: str) -> tuple[str, list[Any]]:
    """Return the key and the values of ``key=a,b,c``. A value is TOML, or else text. Raises `ScenarioError`."""
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise ScenarioError("--set", [f"{text!r} sets nothing; write key=a,b,c, such as lake.growth=1.5,2.0"])
    return key.strip(), [_value(each.strip()) for each in values.split(",")]


def parse_settings(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each key, as `parse_setting` does. Raises `ScenarioError` for a key that occurs twice."""
    settings: dict[str, list[Any]] = {}
    for key, values in map(parse_setting, texts):
        if key == "seed":
            raise ScenarioError("--set", ["seed: the seeds are given by --seeds"])
        if key in settings:
            raise ScenarioError("--set", [f"{key} is given twice; write all of its values in one: {key}=a,b,c"])
        settings[key] = values
    return settings


def parse_range(values: Sequence[Any]) -> Any:
    """Return the range of a setting that was given as ``low..high``, as a tuple of two numbers, and other values as they are.

    Raises `ScenarioError` for a range that is none.
    """
    if len(values) != 1 or not isinstance(values[0], str) or ".." not in values[0]:
        return list(values)
    low, _, high = values[0].partition("..")
    found = _value(low), _value(high)
    if not all(isinstance(each, int | float) for each in found):
        raise ScenarioError("--set", [f"{values[0]!r} is no range of numbers; write key=1.5..2.5"])
    return found


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``1..20``, ``3``, or ``1,5,9``. Raises `ScenarioError`."""
    try:
        parts = [part.partition("..") for part in text.split(",")]
        ranges = [range(int(first), int(last if dots else first) + 1) for first, dots, last in parts]
    except ValueError as error:
        raise ScenarioError("--seeds", [f"{text!r} names no seeds; write 1..20, or 1,5,9"]) from error
    if sum(max(0, several.stop - several.start) for several in ranges) > _MOST:
        raise ScenarioError("--seeds", [f"{text!r} names more than {_MOST} seeds; name fewer"])
    seeds = dict.fromkeys(seed for several in ranges for seed in several)
    if not seeds:
        raise ScenarioError("--seeds", [f"{text!r} names no seeds; the first must not be greater than the last"])
    return list(seeds)


def jobs(text: str, path: Path, settings: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> list[SweepRun]:
    """Return the runs of a sweep, each checked before the first is begun. Raises `ScenarioError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(path, [f"it is not TOML: {error}"]) from error
    check_scenario(data, path)
    made: list[SweepRun] = []
    for values in itertools.product(*settings.values()):
        chosen = dict(zip(settings, values, strict=True))
        made += _of_cell(data, path, chosen, seeds)
        if len(made) > _MOST:
            raise ScenarioError("sweep", [f"these are more than {_MOST} runs; set fewer values, or fewer seeds"])
    return made


def jobs_of_cells(text: str, path: Path, runs: Sequence[tuple[Mapping[str, Any], int]]) -> list[SweepRun]:
    """Return a run for each combination of settings with a seed, each checked. Raises `ScenarioError`."""
    data = tomllib.loads(text)
    made: list[SweepRun] = []
    for settings, several in itertools.groupby(runs, key=lambda run: run[0]):
        made += _of_cell(data, path, dict(settings), [seed for _, seed in several])
    return made


def _of_cell(data: dict[str, Any], path: Path, settings: dict[str, Any], seeds: Sequence[int]) -> list[SweepRun]:
    changed = msgspec.msgpack.decode(msgspec.msgpack.encode(data))
    for key, value in settings.items():
        _put(changed, key, value, path)
    check_scenario(changed, f"{path} with {', '.join(f'{key}={value}' for key, value in settings.items())}", path.parent)
    return [SweepRun(settings, seed, {**changed, "seed": seed}, str(path)) for seed in seeds]


def run_in_executor(
    executor: Executor, work: Callable[[Any], SweepRow], todo: Sequence[Any], done: Callable[[SweepRow], object]
) -> None:
    """Do the runs by an executor, and call `done` when each ends. A run that is lost is a row with the error."""
    futures = {executor.submit(work, job): job for job in todo}
    try:
        for future in as_completed(futures):
            error = future.exception()
            settings, seed = _named(futures[future])
            done(future.result() if error is None else SweepRow(settings, seed, error=describe(error)))
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def _named(job: Any) -> tuple[dict[str, Any], int]:
    """Return the settings and the seed of a run."""
    return (job.settings, job.seed) if isinstance(job, SweepRun) else job


def run_jobs(
    todo: Sequence[Any],
    processes: int,
    done: Callable[[SweepRow], object],
    work: Callable[[Any], SweepRow] | None = None,
) -> list[SweepRow]:
    """Do the runs in `processes` processes, each by `work`, which is `run_job` by default, call `done` when each ends, and return the rows in the order of the runs.

    If a process is killed, the runs that were in progress are done again, each in a process of its own. A run whose process
    is killed again is a row with that error; the others go on.
    """
    rows: dict[int, SweepRow] = {}

    def ended(place: int, future: Future[SweepRow]) -> None:
        error, (settings, seed) = future.exception(), _named(todo[place])
        rows[place] = future.result() if error is None else SweepRow(settings, seed, error=describe(error))
        done(rows[place])

    waiting = deque(range(len(todo)))
    while waiting:
        for place in _in_pool(todo, waiting, processes, ended, work or run_job):
            if _in_pool(todo, deque([place]), 1, ended, work or run_job):
                settings, seed = _named(todo[place])
                rows[place] = SweepRow(settings, seed, error=_KILLED if work is None else f"{_KILLED}; or {_UNGUARDED}")
                done(rows[place])
    return [rows[place] for place in range(len(todo))]


_KILLED = "its process was killed, twice; perhaps there was not enough memory: use fewer processes"


_UNGUARDED = 'the script that holds the function has no `if __name__ == "__main__":` around its main part'


def _in_pool(
    todo: Sequence[Any],
    waiting: deque[int],
    processes: int,
    ended: Callable[[int, Future[SweepRow]], object],
    work: Callable[[Any], SweepRow],
) -> list[int]:
    """Do the runs that wait, in a pool of processes. Return those that were in progress when one of its processes was killed."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    running: dict[Future[SweepRow], int] = {}
    killed: list[int] = []
    with ProcessPoolExecutor(min(processes, len(waiting)), mp_context=context) as pool:
        try:
            while (waiting and not killed) or running:
                # No more than can run, so that those in progress are known.
                while waiting and not killed and len(running) < processes:
                    with _children_deaf_to_interrupts():
                        # It may start a process.
                        future = pool.submit(work, todo[waiting[0]])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        killed.append(place)
                    else:
                        ended(place, future)
        except BrokenProcessPool:
            # It broke before the next run was given to it.
            killed.extend(running.values())
        except BaseException:
            # Do not wait for a run that may take hours. The pool sees that its processes are gone, and ends.
            with _deaf_to_interrupts():
                for process in set(multiprocessing.active_children()) - others:
                    process.kill()
                pool.shutdown(cancel_futures=True)
            raise
    return sorted(killed)


@contextmanager
def _children_deaf_to_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C within the block; this process handles a pending one afterwards."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda *arguments: heard.append(arguments[0]))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        # A pending Ctrl-C arrives here, and is recorded.
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignore further Ctrl-C within the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_job(job: SweepRun) -> SweepRow:
    """Do one run, in memory."""
    try:
        scenario = check_scenario(job.data, job.path)
        record = run_scenario(scenario)
        summary = scenario.kind.summarise(scenario.parameters, record)
    except Exception as error:  # noqa: BLE001 - it is in the row, and the other runs go on
        return SweepRow(job.settings, job.seed, error=describe(error))
    return SweepRow(job.settings, job.seed, summary.figures, record.forfeits, record.digest)


def table(rows: Sequence[SweepRow]) -> str:
    """Return the rows as CSV, one column for each setting."""
    out = io.StringIO()
    keys = list(rows[0].settings) if rows else []
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*keys, "seed", *figures, "forfeits", "digest", "error"])
    for row in rows:
        set_to = (row.settings[key] for key in keys)
        found = (row.figures.get(name, "") for name in figures)
        # A run that failed has no forfeits to tell, and not none of them.
        writer.writerow([*set_to, row.seed, *found, "" if row.error else row.forfeits, row.digest, row.error])
    return out.getvalue()


def measure_of(rows: Sequence[SweepRow], wanted: str = "") -> str:
    """Return the figure that a sweep plots: `wanted`, or the first number; empty without a number."""
    figures = next((row.figures for row in rows if not row.error), {})
    return wanted or next((name for name, value in figures.items() if isinstance(value, int | float)), "")


def means(rows: Sequence[SweepRow], measure: str) -> Iterator[tuple[str, float, float]]:
    """Yield, for each combination of settings, its name and the mean and deviation of the figure `measure`."""
    for name, group in itertools.groupby((row for row in rows if not row.error), key=lambda row: str(row.settings)):
        totals = [(float(row.figures.get(measure, 0)), row.settings) for row in group]
        values = [total for total, _ in totals]
        shown = ", ".join(f"{key}={value}" for key, value in totals[0][1].items()) or name.strip("{}") or "all"
        yield shown, statistics.fmean(values), statistics.pstdev(values)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(data: dict[str, Any], key: str, value: Any, path: Path) -> None:
    *parents, last = key.split(".")
    target: Any = data
    try:
        for parent in parents:
            target = target[int(parent)] if isinstance(target, list) else target.setdefault(parent, {})
        if isinstance(target, list):
            target[int(last)] = value
        else:
            target[last] = value
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ScenarioError(
            path, [f"{key}: there is nothing of that name to set; write lake.growth, or agents.0.count"]
        ) from error
