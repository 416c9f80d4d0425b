"""After a loss of power a run goes on from what had reached the disk, and ends as if nothing had happened.

SQLite appends to its write-ahead log, and reads it up to the first frame that is torn. What a loss of power leaves is
therefore a beginning of that file, at least up to the last commit that was forced to the disk.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from coterie.rounds import Graph, Mode, Simulation, Turn, commit
from coterie.world import EventLog, World

HEADER, FRAME_HEADER = 32, 24


def simulation(world: World, mode: Mode) -> Simulation:
    def think(turn: Turn) -> None:
        turn.intend("add", key=f"thoughts/{turn.name}", amount=turn.random.randrange(10))

    def act(turn: Turn) -> None:
        turn.intend("add", key="sum", amount=turn.view.get(f"thoughts/{turn.name}", 0))

    graph = Graph.chain(think, act) if mode == Mode.TOKENS else Graph.chain(think, commit, act)
    return Simulation(world, ["ada", "ben"], graph, mode=mode, seed=5)


def commits_of(log: bytes) -> list[int]:
    """Return the lengths of a write-ahead log after each of its commits."""
    (page,) = struct.unpack(">I", log[8:12])
    frames = range(HEADER, len(log) - page - FRAME_HEADER + 1, page + FRAME_HEADER)
    return [at + FRAME_HEADER + page for at in frames if struct.unpack(">I", log[at + 4 : at + 8])[0]]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_goes_on_from_any_beginning_of_the_log(tmp_path: Path, mode: Mode) -> None:
    with World({"sum": 0}, log=EventLog(tmp_path / "run.db")) as world:
        whole = simulation(world, mode).run(2)
        # Before the file is closed nothing has moved from the log to the file itself.
        database, log = ((tmp_path / name).read_bytes() for name in ("run.db", "run.db-wal"))
    ends = commits_of(log)
    assert ends[-1] == len(log)
    kept = set()
    for end in [HEADER, *ends, *(end - 100 for end in ends)]:
        folder = tmp_path / str(end)
        folder.mkdir()
        (folder / "run.db").write_bytes(database)
        (folder / "run.db-wal").write_bytes(log[:end])
        with World({"sum": 0}, log=EventLog(folder / "run.db")) as world:
            kept.add(world.view().sequence)
            result = simulation(world, mode).resume(2)
            assert result.rounds == 2
            if mode != Mode.TOKENS:
                assert result.digest == whole.digest
            assert world.log is not None
            assert simulation(World({"sum": 0}), mode).replay(world.log).digests == result.digests
    assert len(kept) > 2
