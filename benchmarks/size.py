"""What agents cost that do nothing. Each figure is taken in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.agents import Add, Counter
from benchmarks.harness import Row, compare, in_a_process_of_its_own, ratio_row
from coterie import Dedicated, Leased, Runtime

PAGE = 4096
SPAWNED = 5_000


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


class _Raw:
    """Agents of raw asyncio: a queue and a task each, which answers one message."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    async def _agent(self, queue: asyncio.Queue[asyncio.Future[int]]) -> None:
        count = 0
        while True:
            reply = await queue.get()
            count += 1
            reply.set_result(count)

    async def _start(self) -> None:
        queues: list[asyncio.Queue[asyncio.Future[int]]] = [asyncio.Queue() for _ in range(SPAWNED)]
        tasks = [self.loop.create_task(self._agent(queue)) for queue in queues]
        replies: list[asyncio.Future[int]] = [self.loop.create_future() for _ in queues]
        for queue, reply in zip(queues, replies, strict=True):
            queue.put_nowait(reply)
        await asyncio.gather(*replies)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self) -> None:
        self.loop.run_until_complete(self._start())


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
    raw = _Raw()
    contestants = {
        "agents": lambda: _per_processor_second(_spawn),
        "raw asyncio": lambda: _per_processor_second(raw.run),
    }
    result = compare(contestants, rounds=5)
    raw.loop.close()
    ratio = result.ratios("agents", "raw asyncio")
    return [ratio_row("5,000 agents started, asked and stopped, processor time", result, ratio, 0.1)]


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
            "under 4 s and 450 MiB",
            many["seconds"] < 4 and many["total"] < 450 * 2**20,
        ),
        *spawning(),
        Row("1,000 dedicated agents, synchronous handlers", f"{own['seconds']:.2f} s", "under 1 s", own["seconds"] < 1),
        Row("… file descriptors", f"{own['files']:.0f}", "none each", own["files"] < 10),
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
