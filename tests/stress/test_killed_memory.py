"""A process that stores, and moves what it stored, is killed at any moment: what was acknowledged is there afterwards."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from coterie.kernel import stream
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory
from tests.runs import LONG

CHILD = """
import sys
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory

me = sys.argv[2]
config = MemoryConfig(path=sys.argv[1], stm_ttl=0.001, im_ttl=0.001, maintenance_interval=0.002)
with TieredMemory(config) as memory:
    mind = AgentMemory(memory, "alice", max_episodes=100_000, consolidate_at=20)
    for n in range(100_000):
        memory.store(f"bob/{me}/{n}", [me, n], durable=True)
        print(f"bob/{me}/{n}", flush=True)
        id = mind.remember(f"apple {me} {n}", durable=True)
        print(f"alice/episode/{id}", flush=True)
"""


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_memories_acknowledged_before_a_kill_are_found_once(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    acknowledged: list[str] = []
    random = stream(1)
    for life in range(100 if LONG else 6):
        command = [sys.executable, "-c", CHILD, str(path), str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own program
            assert child.stdout is not None
            for _ in range(random.randrange(1, 60)):
                line = child.stdout.readline()
                assert line, "the child ended by itself"
                acknowledged.append(line.strip())
            child.kill()
            # A line that was cut off was not acknowledged.
            acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    with TieredMemory(MemoryConfig(path=path, maintenance_interval=None)) as memory:
        found = memory.records.get_many(acknowledged)
        assert [key for key in acknowledged if key not in found] == []
        listed = [record.key for record in memory.recent(limit=1_000_000)]
        assert len(listed) == len(set(listed))
        assert set(acknowledged) <= set(listed)
        for key in acknowledged:
            if key.startswith("bob/"):
                _, born, n = key.split("/")
                assert memory.get(key) == [born, int(n)]


INDEXING = """
import sys
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory

class Lengths:
    model = "lengths"

    def __init__(self, more):
        self.more = more

    def embed(self, texts, kind="passage"):
        return [[float(text.count("e")), float(len(text)), 1.0] + [0.5] * self.more for text in texts]

print("opening", flush=True)
with TieredMemory(MemoryConfig(path=sys.argv[1], maintenance_interval=None)) as memory:
    mind = AgentMemory(memory, "alice", max_episodes=100_000, consolidate_at=None, embedder=Lengths(int(sys.argv[2])))
    print("open", flush=True)
    mind.recall("which pear?")
    while memory.records.archive.vectors("alice", "lengths", 0, 100_000)[-1:] == [] or mind._meaning._todo:
        mind.recall("which pear?")
        memory.flush()
    print("whole", flush=True)
    if sys.argv[3:]:
        sys.stdin.read()
"""


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_indexing_and_embedding_anew_go_on_after_kills(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    count = 3_000
    with TieredMemory(MemoryConfig(path=path, maintenance_interval=None)) as memory:
        mind = AgentMemory(memory, "alice", max_episodes=100_000, consolidate_at=None)
        for number in range(count):
            mind.remember(f"pear number{number}")
    random = stream(2)
    for life in range(60 if LONG else 6):
        if life % 2 == 0:
            # As an earlier version of the analysis left it; in every second life the work of the last one goes on.
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE memory_marks SET mark = 0 WHERE name = 'analysis'")
        command = [sys.executable, "-c", INDEXING, str(path), str(life % 3), "hold"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own program
            assert child.stdout is not None
            assert child.stdout.readline() == "opening\n"
            time.sleep(random.random() * 1.5)
            child.kill()
    command = [sys.executable, "-c", INDEXING, str(path), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)  # noqa: S603 - our own program
    assert done.stdout.endswith("whole\n")
    with TieredMemory(MemoryConfig(path=path, maintenance_interval=None)) as memory:
        mind = AgentMemory(memory, "alice", max_episodes=100_000, consolidate_at=None)
        assert len(mind) == count
        for number in range(0, count, 97):
            assert f"pear number{number}" in [each.text for each in mind.recall(f"number{number}")]
        vectors = memory.records.archive.vectors("alice", "lengths", 0, 100_000)
        assert len({each.key for each in vectors}) == count
        assert {len(each.vector) for each in vectors} == {4 * 5}
