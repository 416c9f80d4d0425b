"""A process that stores is killed at random moments; all that it said is stored is there afterwards."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from coterie.storage import open_database
from coterie.testing.conformance.storage import numbers
from tests.runs import runs

STORE = """
import sys, threading
from coterie.concurrency import start_thread
from coterie.storage import open_database
from coterie.testing.conformance.storage import NOTES, insert

database = open_database(sys.argv[1])
database.migrate(NOTES)
base, out = int(sys.argv[2]), threading.Lock()

def store(thread):
    for n in range(100_000):
        number = base + thread * 100_000 + n
        database.write(insert(number, "x" * (number % 500)), durable=number % 3 > 0).result()
        with out:
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()

threads = [start_thread(lambda thread=thread: store(thread), f"store-{thread}") for thread in range(4)]
threads[0].join()
"""


def acknowledged(url: str, base: int, after: float) -> list[int]:
    """Let a process store until `after` seconds from its first word, kill it, and return what it said was stored."""
    command = [sys.executable, "-c", STORE, url, str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.kill()
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
    # The last line may have been cut in the middle.
    return [int(line) for line in lines if line.endswith("\n")]


def kill_again_and_again(url: str, times: range) -> None:
    chance = random.Random(len(times))
    told: set[int] = set()
    for run in times:
        told.update(acknowledged(url, run * 1_000_000, chance.uniform(0.0, 0.15)))
        with open_database(url) as database:
            stored = set(numbers(database))
            assert told <= stored, sorted(told - stored)[:10]
            assert database.check() == []
    assert len(told) > len(times) * 5


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_a_killed_process_has_stored_its_acknowledged_writes_in_its_file(tmp_path: Path) -> None:
    kill_again_and_again(str(tmp_path / "run.db"), runs(12))


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_a_killed_process_has_stored_its_acknowledged_writes_on_the_server(postgres_url: str) -> None:
    kill_again_and_again(postgres_url, runs(3))
