"""The reader of a world's rounds keeps up with a world that grows faster than it may read."""

from pathlib import Path

import pytest

from coterie.console import run_reader
from coterie.console.run_reader import WorldReader, plots_of
from coterie.rounds import Graph, Simulation, Turn
from coterie.world import EventLog, World


def grow(turn: Turn) -> None:
    for place in range(10):
        turn.intend("add", key=f"n/{place}/x", amount=1)


def test_a_world_that_outruns_its_reader_is_followed_with_gaps_and_read_whole_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reader, "_WINDOW", 60)
    with World({f"n/{place}/x": 0 for place in range(10)}, log=EventLog(tmp_path / "run.db"), history=40) as world:
        simulation = Simulation(world, ["ada"], Graph.chain(grow))
        reader = WorldReader()
        ends: dict[int, int] = {}
        parts = []
        for _ in range(5):
            for _ in range(12):
                result = simulation.run(1)
                ends[result.rounds] = world.sequence
            parts.append(reader.refresh(world, 60, leap=True))
        assert parts[0] < 1
        assert parts[-1] == 1
        assert (reader.last_round, len(reader.rounds) < 60) == (60, True)
        assert reader.series["n/3/x"][-1] == 60
        assert [reader.end_of(world, number) for number in ends] == list(ends.values())
        assert plots_of(reader, "", "round")[0]["data"]["names"][0] == "0/x"
        while reader.refresh(world, 500) < 1:
            pass
        assert list(reader.rounds) == list(ends)
        assert list(reader.ends) == list(ends.values())
        assert list(reader.series["n/3/x"]) == [float(number) for number in range(61)]
