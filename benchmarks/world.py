"""The world: commits, views, replay."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, compare, rate, timed
from coterie.world import EventLog, Intent, World

KEYS = 100_000
BATCH = 1_000
EVENTS = 1_000_000


def batch(number: int) -> list[Intent]:
    return [Intent(f"a{n}", "add", {"key": f"k{(n * 97 + number * BATCH) % KEYS}", "amount": 1}) for n in range(BATCH)]


def filled(keys: int, log: EventLog | None = None) -> World:
    return World({f"k{number}": number for number in range(keys)}, log=log)


def commits(folder: Path) -> list[Row]:
    """A thousand intents on a world of a hundred thousand keys."""
    memory, disk = filled(KEYS), filled(KEYS, EventLog(folder / "run.db"))
    batches = [batch(number) for number in range(60)]
    for world in (memory, disk):
        world.digest()
    turns = {"memory": iter(batches * 2), "digest": iter(batches * 2), "disk": iter(batches * 2)}

    def with_digest() -> None:
        memory.commit(next(turns["digest"]))
        memory.digest()

    result = compare(
        {
            "in memory": lambda: timed(BATCH, lambda: memory.commit(next(turns["memory"]))),
            "in memory, with a digest each": lambda: timed(BATCH, with_digest),
            "log on disk": lambda: timed(BATCH, lambda: disk.commit(next(turns["disk"]))),
        },
        rounds=7,
    )
    disk.close()
    targets: dict[str, float] = {"in memory": 100_000, "log on disk": 30_000}
    rows = []
    for name in result.rates:
        wanted = targets.get(name)
        met = None if wanted is None else result.median(name) > wanted
        target = "" if wanted is None else f"over {rate(wanted)}"
        rows.append(Row(f"intents committed, 1,000 at once, 100,000 keys, {name}", rate(result.median(name)), target, met))
    return rows


def views() -> list[Row]:
    """A view of a small world and of a large one."""
    small, large = filled(100), filled(EVENTS)
    count = 200_000

    def look(world: World) -> None:
        for _ in range(count):
            world.view()

    result = compare({"100": lambda: timed(count, lambda: look(small)), "1,000,000": lambda: timed(count, lambda: look(large))})
    ratio = result.ratios("1,000,000", "100")
    figure = f"{1e9 / result.median('100'):.0f} ns, {1e9 / result.median('1,000,000'):.0f} ns: {ratio}"
    return [Row("view() at 100 and at 1,000,000 keys", figure, "same time (0.8 or more)", ratio.median > 0.8, ratio)]


def replay(folder: Path) -> list[Row]:
    """A million events, folded from the first, and taken up from a snapshot."""
    log = EventLog(folder / "run.db", durable=False)
    world = filled(KEYS, log)
    number = 0
    while world.sequence < EVENTS:
        world.commit(batch(number))
        number += 1
    digest = world.digest()
    world.close()
    log = EventLog(folder / "run.db")
    began = time.perf_counter()
    replayed = World.replay(log)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    opened = World(log=log)
    snapshot = time.perf_counter() - began
    same = replayed.digest() == opened.digest() == digest
    opened.close()
    return [
        Row("replay of 1,000,000 events on 100,000 keys", f"{whole:.2f} s", "under 10 s", whole < 10 and same),
        Row("… from a snapshot", f"{snapshot:.3f} s", "under 1 s", snapshot < 1 and same),
    ]


def all_rows() -> list[Row]:
    rows = views()
    for benchmark in (commits, replay):
        with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
            rows += benchmark(Path(folder))
    return rows
