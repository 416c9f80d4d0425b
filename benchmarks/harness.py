"""Measuring fairly on a noisy machine: everything in one run, interleaved, medians and ratios."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class Row:
    """One line of the table."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    """None if there is nothing to meet."""

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
        return statistics.median(one / two for one, two in zip(self.rates[name], self.rates[other], strict=True))

    def __str__(self) -> str:
        return "; ".join(f"{name} {rate(self.median(name))}" for name in self.rates)


def rate(value: float) -> str:
    """Return a number of events per second in few digits."""
    for limit, divisor, unit in ((1e6, 1e6, "M/s"), (1e3, 1e3, "k/s")):
        if value >= limit:
            return f"{value / divisor:.3g} {unit}"
    return f"{value:.3g} /s"


def compare(contestants: Mapping[str, Callable[[], float]], rounds: int = 9) -> Comparison:
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


def timed(count: int, work: Callable[[], object]) -> float:
    """Return how many of `count` things `work` does in a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def quantile(values: Iterable[float], part: float) -> float:
    """Return the smallest value that is not exceeded by `part` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def in_a_process_of_its_own(module: str, *arguments: str) -> dict[str, float]:
    """Run a module, which prints its figures as JSON, in a fresh process, and return them."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
