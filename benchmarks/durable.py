"""Durable agents, beside the journal that keeps them and beside ordinary agents."""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Comparison, Row, compare, in_a_process_of_its_own, timed
from benchmarks.size import resident
from benchmarks.throughput import versus
from coterie import Agent, Request, Runtime, on
from coterie.runtime import DurablePolicy
from coterie.storage import Schema, SqliteDatabase, Transaction

ASKERS = 16
AGENTS = 1_000
EACH = 40
"""Asks of each asker in a round."""
PASSIVE = 400
ACTIVE = 10_000
KEYS = 1_000_000


class Add(Request[int]):
    """Add one; answer the count."""


class Kept(Agent):
    """A count that is stored with each message."""

    def __init__(self) -> None:
        self.count = 0

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state

    @on
    def add(self, _: Add) -> int:
        self.count += 1
        return self.count


def together(work: Callable[[int], None]) -> None:
    """Call `work` on the threads of all askers, and wait for them."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(ASKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def asks() -> list[Row]:
    """Durable asks from 16 threads to 1,000 agents, and the same number of durable writes of the journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        journal = SqliteDatabase(path / "journal.db")
        journal.migrate(Schema("counts", ("CREATE TABLE counts (key TEXT PRIMARY KEY, count BIGINT NOT NULL)",)))
        upsert = "INSERT INTO counts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET count = counts.count + 1"

        def write(number: int) -> None:
            def work(transaction: Transaction) -> int:
                return transaction.execute(upsert, (str(number),))

            journal.write(work).result()

        full = Runtime(store=str(path / "full.db"))
        relaxed = Runtime(store=str(path / "relaxed.db"), durable=DurablePolicy(durability="relaxed"))
        keys = itertools.count()

        def each(act: Callable[[int], object]) -> Callable[[], float]:
            def work(_: int) -> None:
                for _ in range(EACH):
                    act(next(keys) * 7 % AGENTS)

            return lambda: timed(ASKERS * EACH, lambda: together(work))

        result = compare(
            {
                "journal": each(write),
                "full": each(lambda key: full.entity(Kept, str(key)).ask(Add()).result()),
                "relaxed": each(lambda key: relaxed.entity(Kept, str(key)).ask(Add()).result()),
            }
        )
        full.stop()
        relaxed.stop()
        journal.close()
    what = "durable asks, 16 askers, 1,000 agents"
    rows = versus(what, result, "full", ("journal", 0.5, "at least"))
    return [
        *rows,
        *versus(what, Comparison({k: result.rates[k] for k in ("full", "relaxed")}), "relaxed", ("full", 5, "at least"))[1:],
    ]


def activation() -> list[Row]:
    """The time that an activation adds to an ask, in point reads of the store."""
    with tempfile.TemporaryDirectory() as folder, Runtime(store=str(Path(folder) / "agents.db")) as runtime:
        for key in range(PASSIVE):
            runtime.entity(Kept, str(key)).ask(Add()).result()
        added, reads = [], []
        database = runtime.durable.store.database
        for key in range(PASSIVE):
            agent = runtime.entity(Kept, str(key))
            agent.stop().result()
            began = time.perf_counter()
            agent.ask(Add()).result()
            middle = time.perf_counter()
            agent.ask(Add()).result()
            end = time.perf_counter()
            database.row("SELECT state FROM durable_agents WHERE kind = ? AND key = ?", ("Kept", str(key)))
            reads.append(time.perf_counter() - end)
            added.append((middle - began) - (end - middle))
    more, read = statistics.median(added), statistics.median(reads)
    figure = f"{more * 1e6:.0f} us, a point read {read * 1e6:.0f} us: {more / read:.1f}"
    return [Row("activation of a passivated agent, p50, over an active one", figure, "under 3 reads", more / read < 3)]


def measure(kind: str) -> dict[str, float]:
    """Return the memory of 10,000 active agents: ordinary ones, or durable ones of which a million are stored."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "agents.db")
        policy = DurablePolicy(most_active=ACTIVE, idle=3_600)
        with Runtime(store=store, durable=policy, stop_timeout=120) as runtime:
            if kind == "durable":
                runtime.durable.store.database.write(_fill).result()
            runtime.entity(Kept, "first").ask(Add()).result()
            gc.collect()
            before = resident()
            agents = [
                runtime.entity(Kept, str(key * 97)) if kind == "durable" else runtime.spawn(Kept) for key in range(ACTIVE)
            ]
            for agent in agents:
                agent.ask(Add(), timeout=None).result()
            del agents, agent
            gc.collect()
            return {"bytes": (resident() - before) / ACTIVE, "active": float(runtime.durable.active)}


def _fill(transaction: Transaction) -> None:
    transaction.execute_many(
        "INSERT INTO durable_agents VALUES ('Kept', ?, 1, ?, 1, 0, 0, 0.0)", ((str(key), b"\x01") for key in range(KEYS))
    )


def memory() -> list[Row]:
    """The memory of an active durable agent beside that of an ordinary one."""
    ordinary = in_a_process_of_its_own("benchmarks.durable", "ordinary")
    durable = in_a_process_of_its_own("benchmarks.durable", "durable")
    ratio = durable["bytes"] / ordinary["bytes"]
    figure = f"{durable['bytes'] / 1024:.1f} KiB, ordinary {ordinary['bytes'] / 1024:.1f} KiB: {ratio:.2f}"
    return [Row("1,000,000 keys, 10,000 active: memory of each", figure, "at most 1.3 times", ratio <= 1.3)]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
