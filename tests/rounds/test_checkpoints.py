"""A run that was interrupted, at whatever moment, goes on to the same end."""

import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from coterie.errors import CheckpointMissing, ReplayDiverged, RoundsError, StageFailed
from coterie.rounds import Closing, Gathering, Graph, Mode, Simulation, Turn, together
from coterie.rounds.recorded import RecordedDecisions
from coterie.world import EventLog, View, World
from tests.rounds.fishing import settle, simulation
from tests.runs import LONG

RUN = """
import sys
from coterie.world import EventLog, View, World
from tests.rounds.fishing import simulation

with World({"lake": 100}, log=EventLog(sys.argv[2])) as world:
    made = simulation(sys.argv[1], world, delay=0.002, max_lead=3)
    print("begins", flush=True)
    print(made.resume(int(sys.argv[3])).digest)
"""
ROOT = Path(__file__).parents[2]


def begin(mode: Mode, path: Path, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RUN, mode.value, str(path), str(rounds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_that_is_killed_again_and_again_comes_to_the_same_end(mode: Mode, tmp_path: Path) -> None:
    rounds, kills, wanted = (120, 0, 60) if LONG else (40, 0, 3)
    chance = random.Random(mode.value)
    whole = simulation(mode).run(rounds)
    tries = 0
    while kills < wanted:
        path = tmp_path / f"{tries}.db"
        tries += 1
        while True:
            with begin(mode, path, rounds) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.readline() == "begins\n", process.stderr.read()
                try:
                    out, err = process.communicate(timeout=chance.uniform(0.0, 0.3) if kills < wanted else None)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    kills += 1
                    continue
            break
        assert process.returncode == 0, err
        digest = out.strip()
        if mode is not Mode.TOKENS:
            assert digest == whole.digest
        with World(log=EventLog(path)) as world:
            assert world.digest() == digest
            assert world.log is not None
            assert simulation(mode, max_lead=3).replay(world.log).digest == digest


@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_that_broke_is_mended_and_resumed_to_the_same_end(mode: Mode, tmp_path: Path) -> None:
    broken = {"at": 4}

    def fragile(closing: Closing) -> None:
        if closing.round == broken["at"]:
            raise OSError("the dam broke")
        settle(closing)

    def made(world: World) -> Any:
        return simulation(mode, world, max_lead=0, delay=0.001)

    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        first = made(world)
        first.plan = replace(first.plan, settle=fragile)
        with pytest.raises(StageFailed, match="settle of round 4 failed: it raised OSError: the dam broke"):
            first.run(8)
        assert first.checkpointed == 3
        with pytest.raises(RoundsError, match="a simulation was begun there; resume it"):
            made(world).run(8)
        result = made(world).resume(8)
        assert len(result.digests) == 8
        assert made(world).resume(8).digest == result.digest
        assert made(world).resume(10).rounds == 10
    if mode is not Mode.TOKENS:
        assert simulation(mode).run(8).digests == result.digests


def test_a_run_that_settled_nothing_is_begun_anew(tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        assert simulation("lockstep", world).run(0).rounds == 0
        assert simulation("lockstep", world).resume(3).digest == simulation("lockstep").run(3).digest


def test_differences_from_the_checkpoint_are_named(tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        simulation("lockstep", world).run(2)
        for other, problem in (
            (simulation("tokens", world), "its mode is 'lockstep', not 'tokens'"),
            (simulation("lockstep", world, seed=9), "its seed is 3, not 9"),
        ):
            with pytest.raises(CheckpointMissing, match=problem):
                other.resume(3)
        fewer = simulation("lockstep", world)
        del fewer.plan.agents["esi"]  # type: ignore[attr-defined]
        with pytest.raises(CheckpointMissing, match="the agents esi take part, and were not given"):
            fewer.resume(3)
        world.log.database.write(lambda write: write.execute("UPDATE rounds_checkpoints SET body = ?", (b"x",))).result()  # type: ignore[union-attr]
        with pytest.raises(CheckpointMissing, match="the checksum of the newest checkpoint is wrong"):
            simulation("lockstep", world).resume(3)
    with pytest.raises(CheckpointMissing, match="give it a log"):
        simulation("lockstep").resume(1)
    with EventLog(tmp_path / "empty.db") as log, pytest.raises(CheckpointMissing, match="it holds no simulation"):
        simulation("lockstep").replay(log)


def test_objects_in_keep_are_stored_and_restored(tmp_path: Path) -> None:
    class Diary:
        def __init__(self) -> None:
            self.lines: list[int] = []

        def snapshot(self) -> list[int]:
            return self.lines

        def restore(self, state: list[int]) -> None:
            self.lines = list(state)

    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        diary = Diary()
        made = simulation("lockstep", world, keep={"diary": diary})
        made.run(3, lambda result: diary.lines.append(result.number))
        other = Diary()
        simulation("lockstep", world, keep={"diary": other}).resume(4)
        assert other.lines == [1, 2]
        with pytest.raises(CheckpointMissing, match="it also keeps diary"):
            simulation("lockstep", world).resume(5)


def test_a_run_that_was_stopped_from_outside_can_be_continued(tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        first = simulation("lockstep", world)
        stopped = first.run(8, lambda result: first.stop() if result.number == 3 else None)
        assert (stopped.rounds, stopped.stopped) == (4, "it was stopped")
        assert simulation("lockstep", world).resume(8).digests == simulation("lockstep").run(8).digests


def test_a_simulation_is_kept_on_a_server_too(postgres_url: str) -> None:
    for rounds in (3, 6):
        with World({"lake": 100}, log=EventLog(postgres_url), snapshot_every=5) as world:
            result = simulation("tokens", world).resume(rounds)
            assert world.log is not None
            assert simulation("tokens").replay(world.log).digests == result.digests
            assert World.replay(world.log).digest() == result.digest
    assert result.rounds == 6


class Fisher:
    """Counts its months; in the third it takes its time, once."""

    def __init__(self, late: threading.Event) -> None:
        self.late = late
        self.months = 0

    def fish(self, turn: Turn) -> None:
        self.months += 1
        if turn.round == 3 and turn.name == "ada" and not self.late.is_set():
            self.late.set()
            threading.Event().wait(0.8)
        turn.intend("set", key=turn.name, value=self.months)

    def snapshot(self) -> int:
        return self.months

    def restore(self, state: int) -> None:
        self.months = state

    def __deepcopy__(self, memo: object) -> "Fisher":
        return Fisher(self.late)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_forfeit_that_was_recorded_before_the_crash_is_a_forfeit_after_it(mode: Mode, tmp_path: Path) -> None:
    late = threading.Event()
    agents = {name: Fisher(late) for name in ("ada", "ben")}

    def made(world: World) -> Simulation:
        return Simulation(world, agents, Graph.chain("fish"), mode=mode, turn_timeout=0.3, max_lead=0)

    with World(log=EventLog(tmp_path / "run.db")) as world:
        whole = made(world).run(3)
        assert whole.forfeits == 1
    # As if it was killed between the events of the last round and their checkpoint.
    with closing(sqlite3.connect(tmp_path / "run.db")) as database, database:
        assert database.execute("DELETE FROM rounds_checkpoints WHERE round = 3").rowcount == 1
    database.close()
    with World(log=EventLog(tmp_path / "run.db")) as world:
        again = made(world).resume(3)
        assert (again.digests, again.forfeits) == (whole.digests, 1)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("settled", [0, 1])
def test_joins_and_leaves_before_a_crash_hold_after_it(mode: Mode, settled: int, tmp_path: Path) -> None:
    broken = [True]

    def count(turn: Turn) -> None:
        turn.intend("add", key=turn.name, amount=1)

    def judge(gathering: Gathering) -> None:
        if broken[0] and gathering.round == settled + 1 and "cleo" in gathering.agents:
            raise RuntimeError("not yet")

    def made(world: World) -> Simulation:
        graph = Graph.chain(count, together(judge))
        return Simulation(world, ["ada", "ben", "cleo"], graph, mode=mode, members=["ada", "ben"], max_lead=0)

    with World(log=EventLog(tmp_path / "run.db")) as world:
        simulation = made(world)

        def change(*_: object) -> None:
            simulation.join("cleo")
            simulation.leave("ben")

        if settled == 0:
            change()
        with pytest.raises(StageFailed, match="not yet"):
            simulation.run(3, change)
    broken.clear()
    broken.append(False)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        view = made(world).resume(3).view
        assert dict(view) == ({"ada": 3, "ben": 1, "cleo": 2} if settled else {"ada": 3, "cleo": 3})
        assert made(World()).replay(world.log).view == view  # type: ignore[arg-type] # it has one


@pytest.mark.parametrize("mode", ["lockstep", "pipelines"])
def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(mode: str, tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        simulation(mode, world).run(4)
        assert world.log is not None
        world.log.database.write(
            lambda write: write.execute("UPDATE rounds_checkpoints SET body = ? WHERE round = ?", (b"x", 4))
        ).result()
        seen: list[int] = []
        result = simulation(mode, world).resume(6, lambda settled: seen.append(settled.number))
        assert (seen, result.digests) == ([4, 5, 6], simulation(mode).run(6).digests)


def test_the_size_of_a_checkpoint_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key="k", value=turn.round % 10)

    with World(log=EventLog(tmp_path / "run.db")) as world:
        made = Simulation(world, ["a"], Graph.chain(act))
        assert world.log is not None
        sizes = []
        for rounds in (20, 100):
            made.run(rounds)
            row = world.log.database.row("SELECT length(body) FROM rounds_checkpoints ORDER BY round DESC LIMIT 1")
            assert row is not None
            sizes.append(row[0])
        assert sizes[1] <= sizes[0] + 16
        assert len(Simulation(world, ["a"], Graph.chain(act)).resume(121).digests) == 121


def test_a_step_of_a_world_of_many_keys_does_not_walk_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key="k/1", value=turn.round)

    def walk(self: View) -> Any:
        raise AssertionError("a commit walks all keys")

    world = World({f"k/{number}": 0 for number in range(100)})
    monkeypatch.setattr(View, "__iter__", walk)
    result = Simulation(world, ["a"], Graph.chain(act, together(lambda _: None)), mechanisms={"m": lambda r, _: r}).run(3)
    assert result.view["k/1"] == 3


def test_a_replay_that_diverges_names_the_versions_that_made_the_log(tmp_path: Path) -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key="k", value=len(made_by))

    made_by: list[str] = []
    with World(log=EventLog(tmp_path / "run.db")) as world:
        Simulation(world, ["a"], Graph.chain(act)).run(1)
        assert world.log is not None
        made_by.append("x")
        with pytest.raises(ReplayDiverged) as caught:
            Simulation(World(), ["a"], Graph.chain(act)).replay(world.log)
        assert "the log was made" not in str(caught.value)
        (started,) = (event for event in world.log.events() if event.kind == "simulation started")
        details = {**started.details, "made by": {**started.details["made by"], "python": "3.99"}}
        recorded = RecordedDecisions([msgspec.structs.replace(started, details=details)])
        assert recorded.other_versions == "; the log was made by python 3.99, which may differ"
