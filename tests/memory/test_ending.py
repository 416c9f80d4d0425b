"""What becomes of a store that is never closed."""

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie.concurrency import SwitchInterval, Timers
from coterie.errors import WriteTimeout
from coterie.kernel import Countdown, SystemClock
from coterie.memory import MemoryConfig, TieredMemory
from coterie.memory.ending import MemoryEnd
from coterie.testing import eventually

CODE = """
import sys
from coterie.memory import MemoryConfig, TieredMemory
memory = TieredMemory(MemoryConfig(path=sys.argv[1]))
for n in range(500):
    memory.store(f"alice/{n}", {"n": n})
"""


def test_memories_are_written_though_the_program_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    with TieredMemory(MemoryConfig(path=path)) as memory:
        assert [memory.get(f"alice/{n}") for n in (0, 499)] == [{"n": 0}, {"n": 499}]


def test_a_dropped_store_warns_writes_and_ends_its_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    stores = [TieredMemory(MemoryConfig(path=tmp_path / "run.db"))]
    stores[0].store("alice/goal", "work")
    gone = weakref.ref(stores[0])

    def drop(caught: pytest.WarningsRecorder) -> None:
        stores.clear()
        eventually(lambda: gc.collect() is not None and gone() is None and len(caught) > 0)

    with pytest.warns(ResourceWarning, match=r"memory .*run.db was dropped and not stopped") as caught:
        drop(caught)
    eventually(lambda: not set(threading.enumerate()) - before)
    with TieredMemory(MemoryConfig(path=tmp_path / "run.db")) as memory:
        assert memory.get("alice/goal") == "work"


class Unreachable:
    forked = False

    def close(self, stop_users: Callable[[Countdown], object]) -> None:
        stop_users(Countdown(0.0))
        raise WriteTimeout("3 memories were not written", 0.1, "the server is away")

    def forget(self) -> bool:
        return True


class NoWorkers:
    def close(self, timeout: float) -> None: ...


def test_memories_that_cannot_be_written_at_the_end_are_told() -> None:
    end = MemoryEnd("memory run.db", Unreachable(), Timers(SystemClock()), NoWorkers(), SwitchInterval(1.0))
    assert "memory run.db: WriteTimeout: 3 memories were not written" in (end.finish_at_exit() or "")
