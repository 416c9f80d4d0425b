"""The journal, beside the bare primitives of `sqlite3`: commits, batches, point reads."""

from __future__ import annotations

import itertools
import random
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.harness import Row, compare, timed
from benchmarks.throughput import versus
from coterie.storage import Schema, SqliteDatabase, Transaction

THREADS = 16
EACH = 60
"""Durable stores of each thread in a round."""
MANY = 10_000
"""Stores in a round where nobody waits for each."""
BATCH = 100
KEPT = 50_000
READS = 10_000

BODY = "x" * 200
TABLE = (
    "CREATE TABLE memories (id BIGINT PRIMARY KEY, agent TEXT NOT NULL, body TEXT NOT NULL, created DOUBLE PRECISION NOT NULL)"
)
INDEX = "CREATE INDEX memories_by_agent ON memories (agent, created)"
INSERT = "INSERT INTO memories (id, agent, body, created) VALUES (?, ?, ?, ?)"
POINT = "SELECT body FROM memories WHERE id = ?"


def row(number: int) -> tuple[int, str, str, float]:
    return (number, f"agent-{number % 100}", BODY, float(number))


def insert(number: int, transaction: Transaction) -> None:
    transaction.execute(INSERT, row(number))


class Bare:
    """A connection as anybody would make it."""

    def __init__(self, path: Path, synchronous: str = "FULL") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.connection.execute(TABLE)
        self.connection.execute(INDEX)
        self.numbers = itertools.count()

    def commit_each(self, count: int) -> None:
        for _ in range(count):
            self.connection.execute(INSERT, row(next(self.numbers)))

    def commit_batches(self, count: int) -> None:
        for _ in range(count // BATCH):
            self.connection.execute("BEGIN")
            self.connection.executemany(INSERT, [row(next(self.numbers)) for _ in range(BATCH)])
            self.connection.execute("COMMIT")

    def read(self, numbers: list[int]) -> None:
        for number in numbers:
            self.connection.execute(POINT, (number,)).fetchone()


class Ours:
    def __init__(self, path: Path) -> None:
        self.database = SqliteDatabase(path)
        self.database.migrate(Schema("memories", (f"{TABLE}; {INDEX};",)))
        self.numbers = itertools.count()

    def store_from_threads(self) -> None:
        def store() -> None:
            for _ in range(EACH):
                self.database.write(partial(insert, next(self.numbers))).result()

        threads = [threading.Thread(target=store) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def store_and_go_on(self, count: int) -> None:
        for _ in range(count):
            self.database.write(partial(insert, next(self.numbers)), durable=False)
        self.database.flush()

    def read(self, numbers: list[int]) -> None:
        for number in numbers:
            self.database.row(POINT, (number,))


def durable(folder: Path) -> list[Row]:
    """16 threads, each of which waits until its row is on the disk, beside one commit a row."""
    ours, bare = Ours(folder / "ours.db"), Bare(folder / "bare.db")
    count = THREADS * EACH
    contestants: dict[str, Callable[[], float]] = {
        "grouped": lambda: timed(count, ours.store_from_threads),
        "a commit each": lambda: timed(count, lambda: bare.commit_each(count)),
    }
    result = compare(contestants)
    statistics = ours.database.statistics()
    ours.database.close()
    rows = versus("durable stores from 16 threads", result, "grouped", ("a commit each", 1.7, "at least"))
    return [*rows, Row("stores in one commit, mean", f"{statistics.stored / statistics.commits:.1f}")]


def fire_and_forget(folder: Path) -> list[Row]:
    """One thread that waits for none of its stores, beside batches of 100 rows."""
    ours, bare = Ours(folder / "ours.db"), Bare(folder / "bare.db", "NORMAL")
    contestants: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(MANY, lambda: ours.store_and_go_on(MANY)),
        "executemany": lambda: timed(MANY, lambda: bare.commit_batches(MANY)),
    }
    result = compare(contestants)
    ours.database.close()
    return versus("stores that nobody waits for", result, "ours", ("executemany", 0.5, "at least"))


def point_reads(folder: Path) -> list[Row]:
    """Rows by their keys, at random, on one thread."""
    ours = Ours(folder / "ours.db")
    ours.store_and_go_on(KEPT)
    bare = Bare(folder / "bare.db")
    bare.commit_batches(KEPT)
    chance = random.Random(1)  # noqa: S311 - not for secrets
    numbers = [chance.randrange(KEPT) for _ in range(READS)]
    contestants: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(READS, lambda: ours.read(numbers)),
        "sqlite3": lambda: timed(READS, lambda: bare.read(numbers)),
    }
    result = compare(contestants)
    ours.database.close()
    return versus("point read", result, "ours", ("sqlite3", 0.3, "at least"))


def all_rows() -> list[Row]:
    rows: list[Row] = []
    for benchmark in (durable, fire_and_forget, point_reads):
        with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
            rows += benchmark(Path(folder))
    return rows
