"""A process that stores, and moves what it stored, is killed at any moment: what was acknowledged is there afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

from coterie.kernel import stream
from coterie.memory import MemoryConfig, TieredMemory
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
