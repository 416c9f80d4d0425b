"""A run can be taken step by step, and what others change meanwhile is part of it."""

import os
from pathlib import Path
from typing import Any

import pytest

from coterie import Dedicated, Runtime
from coterie.errors import RoundsError, StageFailed
from coterie.rounds import Closing, Graph, Member, Mode, RoundResult, Simulation, Turn
from coterie.world import EventLog, Intent, World
from tests.rounds.fishing import simulation

MODES = list(Mode)


class Saver:
    """Has no snapshot, so that nothing but itself can carry its state on."""

    def __init__(self) -> None:
        self.coins = 0

    def save(self, turn: Turn) -> None:
        self.coins += turn.random.randrange(10)
        turn.intend("set", key=turn.name, value=self.coins)

    def __call__(self, turn: Turn) -> None:
        self.save(turn)


@pytest.mark.parametrize("mode", MODES)
def test_runs_and_steps_after_one_another_are_one_run(mode: Mode) -> None:
    def made() -> Simulation:
        return Simulation(World(), {"a": Saver(), "b": Saver()}, Graph.chain("save"), mode=mode, seed=1)

    whole = made().run(10)
    parts = made()
    assert parts.run(4).rounds == 4
    assert parts.step().rounds == 5
    assert parts.resume(8).rounds == 8
    last = parts.run(2)
    assert (last.rounds, last.digests, dict(last.view)) == (10, whole.digests, dict(whole.view))


@pytest.mark.parametrize("mode", ["lockstep", "sync-points", "pipelines"])
def test_steps_with_forfeits_mechanisms_and_a_log_are_one_run(mode: str, tmp_path: Path) -> None:
    whole = simulation(mode).run(9)
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        parts = simulation(mode, world)
        for _ in range(6):
            parts.step()
        assert simulation(mode, world).resume(7).rounds == 7
        with pytest.raises(RoundsError, match="resume it"):
            parts.step()
        assert parts.resume(8).rounds == 8
        assert parts.step().digests == whole.digests
        assert world.log is not None
        assert simulation(mode).replay(world.log).digests == whole.digests


def test_a_runtime_agent_goes_on_too() -> None:
    class Fisher(Member):
        def __init__(self) -> None:
            self.months = 0

        def fish(self, turn: Turn) -> None:
            self.months += 1
            turn.intend("set", key=turn.name, value=self.months)

    with Runtime(dispatcher=Dedicated()) as runtime:
        made = Simulation(World(), {"ada": runtime.spawn(Fisher)}, Graph.chain("fish"))
        made.run(2)
        assert made.run(2).view["ada"] == 4


def test_a_run_stopped_from_outside_goes_on_and_one_that_stopped_itself_does_not() -> None:
    made = Simulation(World(), {"a": Saver()}, Graph.chain("save"))
    made.stop("enough")
    assert (made.run(5).stopped, made.run(2).rounds) == ("enough", 3)

    def settle(closing: Closing) -> None:
        if closing.round == 2:
            closing.stop("over")

    ended = Simulation(World(), {"a": Saver()}, Graph.chain("save"), settle=settle)
    assert (ended.run(5).rounds, ended.run(5).rounds) == (2, 2)


def test_after_an_error_a_run_does_not_begin_anew_on_the_changed_world() -> None:
    def settle(closing: Closing) -> None:
        if closing.round == 2:
            raise ValueError("no money")

    made = Simulation(World(), {"a": Saver()}, Graph.chain("save"), settle=settle)
    with pytest.raises(StageFailed):
        made.run(5)
    with pytest.raises(RoundsError, match="ended with an error"):
        made.run(5)


def act(turn: Turn) -> None:
    turn.intend("add", key="n", amount=turn.view["rate"])


class Killed(BaseException):
    pass


def slider(world: World, at: int, *, kill: bool = False) -> Any:
    def on_round(result: RoundResult) -> None:
        if result.number == at:
            world.update({"rate": 5}, agent="researcher", reason="slider")
            world.commit([Intent("researcher", "add", {"key": "rate", "amount": 1})])
            if kill:
                raise Killed

    return on_round


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_change_between_rounds_is_replayed_and_survives_a_kill(mode: Mode, at: int, tmp_path: Path) -> None:
    def made(world: World) -> Simulation:
        return Simulation(world, ["a", "b"], Graph.chain(act), mode=mode, max_lead=0)

    with World({"n": 0, "rate": 1}, log=EventLog(tmp_path / "run.db")) as world:
        whole = made(world).run(4, slider(world, at))
        assert whole.view["n"] == 2 * at + 12 * (4 - at)
        assert world.log is not None
        again = made(World()).replay(world.log)
        assert (again.digests, again.digest) == (whole.digests, whole.digest)
    with World({"n": 0, "rate": 1}, log=EventLog(tmp_path / "killed.db")) as world, pytest.raises(Killed):
        made(world).run(4, slider(world, at, kill=True))
    for _ in range(2):
        with World(log=EventLog(tmp_path / "killed.db")) as world:
            assert world.view()["rate"] == 6
            later = made(world).resume(4)
            assert (later.digests, later.digest) == (whole.digests, whole.digest)
            assert world.log is not None
            assert made(World()).replay(world.log).digest == whole.digest


@pytest.mark.parametrize("mode", MODES)
def test_a_change_in_the_middle_of_a_round_is_replayed(mode: Mode, tmp_path: Path) -> None:
    def settle(closing: Closing) -> None:
        if closing.round == 2:
            world.update({"rate": 5})
        closing.set("seen", closing.view["rate"])

    def plain(closing: Closing) -> None:
        closing.set("seen", closing.view["rate"])

    with World({"n": 0, "rate": 1}, log=EventLog(tmp_path / "run.db")) as world:
        whole = Simulation(world, ["a"], Graph.chain(act), mode=mode, max_lead=0, settle=settle).run(4)
        assert world.log is not None
        again = Simulation(World(), ["a"], Graph.chain(act), mode=mode, max_lead=0, settle=plain).replay(world.log)
        assert (again.digests, again.view["n"]) == (whole.digests, 12)


def test_a_change_before_the_first_checkpoint_survives_too(tmp_path: Path) -> None:
    def settle(closing: Closing) -> None:
        if closing.round == 1 and not done:
            done.append(1)
            world.update({"rate": 5})
            raise ValueError

    done: list[int] = []
    with World({"n": 0, "rate": 1}, log=EventLog(tmp_path / "run.db")) as world:
        with pytest.raises(StageFailed):
            Simulation(world, ["a"], Graph.chain(act), settle=settle).run(2)
        assert Simulation(world, ["a"], Graph.chain(act), settle=settle).resume(2).view["rate"] == 5


def test_a_log_names_the_versions_that_made_it() -> None:
    world = World({"n": 0, "rate": 1})
    Simulation(world, ["a"], Graph.chain(act)).run(1)
    (event,) = [event for event in world.history() if event.kind == "simulation started"]
    assert set(event.details["made by"]) == {"python", "coterie"}
    assert os.sys.version.startswith(event.details["made by"]["python"])  # type: ignore[attr-defined]
