"""What agents cost that do nothing. Each figure is taken in a process of its own."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

from benchmarks.agents import Add, Counter
from benchmarks.harness import Row, in_a_process_of_its_own
from coterie import Dedicated, Leased, Runtime

PAGE = 4096


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def measure(dispatcher: str, count: int) -> dict[str, float]:
    """Start agents, wait until each has answered once, and return what they cost."""
    with Runtime(dispatcher=Dedicated() if dispatcher == "dedicated" else Leased(), stop_timeout=120.0) as runtime:
        runtime.spawn(Counter).ask(Add(1)).result()
        gc.collect()
        memory, files = resident(), descriptors()
        began = time.perf_counter()
        agents = [runtime.spawn(Counter) for _ in range(count)]
        replies = [agent.ask(Add(1), timeout=None) for agent in agents]
        for reply in replies:
            reply.result()
        took = time.perf_counter() - began
        del replies, reply
        gc.collect()
        figures = {
            "seconds": took,
            "bytes": (resident() - memory) / count,
            "total": resident(),
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "files": descriptors() - files,
        }
        began = time.perf_counter()
    figures["stop"] = time.perf_counter() - began
    return figures


def leased(count: int) -> dict[str, float]:
    return in_a_process_of_its_own("benchmarks.size", "leased", str(count))


def all_rows() -> list[Row]:
    few, many = leased(10_000), leased(100_000)
    own = in_a_process_of_its_own("benchmarks.size", "dedicated", "1000")
    return [
        Row("10,000 idle agents, leased: started and asked once", f"{few['seconds']:.2f} s", "under 2 s", few["seconds"] < 2),
        Row("… memory each", f"{few['bytes'] / 1024:.1f} KiB", "under 10 KiB", few["bytes"] < 10 * 1024),
        Row("… threads in all", f"{few['threads']:.0f}", "at most 20", few["threads"] <= 20),
        Row("… file descriptors", f"{few['files']:.0f}", "none each", few["files"] < 10),
        Row(
            "100,000 idle agents, leased",
            f"{many['seconds']:.1f} s, {many['total'] / 2**20:.0f} MiB in all, {many['threads']:.0f} threads, "
            f"stopped in {many['stop']:.1f} s",
            "under 1 GiB",
            many["total"] < 2**30,
        ),
        Row("1,000 dedicated agents, synchronous handlers", f"{own['seconds']:.2f} s", "under 1 s", own["seconds"] < 1),
        Row("… file descriptors", f"{own['files']:.0f}", "none each", own["files"] < 10),
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
