"""The use of the machine by this process."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from coterie.kernel import check_number


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """The use of the machine by this process."""

    threads: int
    cpu: float
    """Cores that it has kept busy: 1.5 is one and a half."""
    memory: int
    """Bytes of resident memory."""
    memory_part: float
    """The part of the machine's memory, from 0 to 1."""


def process_usage(seconds: float = 0.1) -> ProcessUsage:
    """Measure this process for a number of seconds, and return its use of the machine. Blocks; raises `InvalidSetting`.

    A `ResourceMonitor` of `coterie.world` measures the same again and again.
    """
    check_number("process_usage.seconds", seconds, above=0)
    process = psutil.Process()
    cpu = process.cpu_percent(interval=seconds) / 100
    memory = process.memory_info().rss
    return ProcessUsage(process.num_threads(), cpu, memory, memory / psutil.virtual_memory().total)
