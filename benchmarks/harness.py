"""Measuring fairly on a noisy machine: everything in one run, interleaved, medians and ratios."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil


class Spread(NamedTuple):
    """A figure that was measured several times: its median, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of one value or more."""
        several = list(values)
        low, median, high = statistics.quantiles(several, n=4, method="inclusive") if len(several) > 1 else several * 3
        return cls(low, median, high)

    @property
    def share(self) -> float:
        """Half of the distance between the quartiles, as a part of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0

    def divided(self, by: float) -> Spread:
        """Return the same in a unit that is `by` times as large."""
        return Spread(self.low / by, self.median / by, self.high / by)

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass
class Row:
    """One line of the table."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    """None if there is nothing to meet."""
    ratio: Spread | None = None
    """What the regression check compares with the stored table; a larger one is better."""

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"| {self.what} | {self.figure} | {self.target} | {verdict} |"


@dataclass
class Comparison:
    """The rates of several contestants, round by round."""

    rates: Mapping[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def ratio(self, name: str, other: str) -> float:
        """Return the median over the rounds of what `name` reached for each one of `other`."""
        return self.ratios(name, other).median

    def ratios(self, name: str, other: str) -> Spread:
        """Return what `name` reached for each one of `other`, over the rounds."""
        return Spread.of(one / two for one, two in zip(self.rates[name], self.rates[other], strict=True))

    def __str__(self) -> str:
        return "; ".join(f"{name} {rate(self.median(name))} ±{Spread.of(self.rates[name]).share:.0%}" for name in self.rates)


def ratio_row(what: str, found: Comparison, ratio: Spread, least: float, target: str = "") -> Row:
    """Return a row with the rates and a ratio, which the regression check sees too."""
    return Row(what, f"{ratio} ({found})", target or f"at least {least:g}", ratio.median >= least, ratio)


def rate(value: float) -> str:
    """Return a number of events per second in few digits."""
    for limit, divisor, unit in ((1e6, 1e6, "M/s"), (1e3, 1e3, "k/s")):
        if value >= limit:
            return f"{value / divisor:.3g} {unit}"
    return f"{value:.3g} /s"


def compare(contestants: Mapping[str, Callable[[], float]], rounds: int = 7) -> Comparison:
    """Let every contestant run once to get warm, then once a round, in an order that moves on each round.

    A contestant does its work and returns how much it did in a second.
    """
    names = list(contestants)
    for name in names:
        contestants[name]()
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            gc.collect()
            rates[name].append(contestants[name]())
    return Comparison(rates)


@dataclass(frozen=True)
class Durations:
    """How long something took, round by round, in milliseconds."""

    walls: list[float]
    processors: list[float]

    @property
    def wall(self) -> Spread:
        """By the clock."""
        return Spread.of(self.walls)

    @property
    def processor(self) -> Spread:
        """Of the processor, over all threads of the process."""
        return Spread.of(self.processors)

    def wall_over(self, other: Durations) -> Spread:
        """Return the part of the other's time that this took, round by round."""
        return Spread.of(one / two for one, two in zip(self.walls, other.walls, strict=True))


def durations(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Durations]:
    """Do each piece of work once to get warm, then once a round, in turns; return how long each took."""
    took = {name: Durations([], []) for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            gc.collect()
            began, processor = time.perf_counter(), time.process_time()
            work()
            if number:
                took[name].processors.append(1e3 * (time.process_time() - processor))
                took[name].walls.append(1e3 * (time.perf_counter() - began))
    return took


def timed(count: int, work: Callable[[], object]) -> float:
    """Return how many of `count` things `work` does in a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


class MachineLoad:
    """How much of the machine other programs use, from now on."""

    def __init__(self) -> None:
        self._all = self._busy()
        self._own = self._ours()
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has been, by the clock."""
        return time.perf_counter() - self._began

    @property
    def processor(self) -> float:
        """How much processor time this process has used, and its children that have ended."""
        return self._ours() - self._own

    def of_others(self) -> float:
        """Return the part of all processors that other programs have used, from 0 to 1."""
        took = self.seconds * (psutil.cpu_count() or 1)
        return min(1.0, max(0.0, (self._busy() - self._all) - (self._ours() - self._own)) / took)

    @staticmethod
    def _busy() -> float:
        times = psutil.cpu_times()
        return times.user + times.system + getattr(times, "nice", 0.0)

    @staticmethod
    def _ours() -> float:
        # Children count when they have ended; those of a benchmark end with it.
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system


def quantile(values: Iterable[float], part: float) -> float:
    """Return the smallest value that is not exceeded by `part` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def in_a_process_of_its_own(module: str, *arguments: str) -> dict[str, float]:
    """Run a module, which prints its figures as JSON, in a fresh process, and return them."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
