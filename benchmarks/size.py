"""What agents cost that do nothing. Each figure is taken in a process of its own."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.agents import Add, Counter
from benchmarks.harness import Row, Spread, compare, in_a_process_of_its_own, ratio_row
from benchmarks.raw import LoopAgents
from coterie import Dedicated, Leased, Runtime

PAGE = 4096
SPAWNED = 5_000
REPEATED = 5


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def measure(dispatcher: str, count: int, *, leave: bool, together: bool) -> dict[str, float]:
    """Start agents, wait until each has answered once, and return what they cost.

    With `together` one call starts them. With `leave`, end the process then.
    """
    with Runtime(dispatcher=Dedicated() if dispatcher == "dedicated" else Leased(), stop_timeout=120.0) as runtime:
        runtime.spawn(Counter).ask(Add(1)).result()
        gc.collect()
        memory, files = resident(), descriptors()
        began, processor = time.perf_counter(), time.process_time()
        agents = runtime.spawn_many(Counter, count) if together else [runtime.spawn(Counter) for _ in range(count)]
        replies = [agent.ask(Add(1), timeout=None) for agent in agents]
        for reply in replies:
            reply.result()
        took, burnt = time.perf_counter() - began, time.process_time() - processor
        del replies, reply
        gc.collect()
        figures = {
            "seconds": took,
            "processor": burnt,
            "bytes": (resident() - memory) / count,
            "total": resident(),
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "files": descriptors() - files,
        }
        if leave:
            print(json.dumps(figures), flush=True)
            os._exit(0)
        began = time.perf_counter()
    figures["stop"] = time.perf_counter() - began
    return figures


def _spawn_raw() -> None:
    agents = LoopAgents(SPAWNED)
    agents.ask_all()
    agents.close()


def _spawn() -> None:
    with Runtime() as runtime:
        agents = [runtime.spawn(Counter) for _ in range(SPAWNED)]
        for reply in [agent.ask(Add(1), timeout=None) for agent in agents]:
            reply.result()


def _per_processor_second(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return SPAWNED / (time.process_time() - began)


def spawning() -> list[Row]:
    """Agents started, asked once and stopped in a second of processor time, beside tasks with queues of raw asyncio."""
    contestants = {
        "agents": lambda: _per_processor_second(_spawn),
        "raw asyncio": lambda: _per_processor_second(_spawn_raw),
    }
    result = compare(contestants, rounds=5)
    ratio = result.ratios("agents", "raw asyncio")
    return [ratio_row("5,000 agents started, asked and stopped, processor time", result, ratio, 0.1)]


def repeated(dispatcher: str, count: int, way: str = "alone") -> dict[str, Spread]:
    """Return the figures of several processes."""
    found = [
        # To stop many agents takes as long as to start them, so all but one process end without.
        in_a_process_of_its_own("benchmarks.size", dispatcher, str(count), "stop" if number == 0 else "leave", way)
        for number in range(REPEATED)
    ]
    return {name: Spread.of(figures[name] for figures in found if name in figures) for name in found[0]}


def all_rows() -> Iterator[Row]:
    few = repeated("leased", 10_000)
    each = few["bytes"].divided(1024)
    yield Row(
        "10,000 idle agents, leased: started and asked once", f"{few['seconds']} s", "under 2 s", few["seconds"].median < 2
    )
    yield Row("… memory each", f"{each} KiB", "under 10 KiB", each.median < 10)
    yield Row("… threads in all", f"{few['threads']}", "at most 20", few["threads"].median <= 20)
    yield Row("… file descriptors", f"{few['files']}", "none each", few["files"].median < 10)
    for title, way in (("started by `spawn_many` and asked once", "together"), ("… by as many calls of `spawn`", "alone")):
        many = repeated("leased", 100_000, way)
        total = many["total"].divided(2**20)
        yield Row(
            f"100,000 idle agents, leased: {title}",
            f"{many['seconds']} s ({many['processor']} of the processor), {total} MiB in all, "
            f"{many['threads'].median:.0f} threads, stopped in {many['stop'].median:.1f} s",
            "under 4 s and 450 MiB",
            many["seconds"].median < 4 and total.median < 450,
        )
    yield from spawning()
    own = repeated("dedicated", 1_000)
    yield Row("1,000 dedicated agents, synchronous handlers", f"{own['seconds']} s", "under 1 s", own["seconds"].median < 1)
    yield Row("… file descriptors", f"{own['files']}", "none each", own["files"].median < 10)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), leave=sys.argv[3] == "leave", together=sys.argv[4] == "together")))
