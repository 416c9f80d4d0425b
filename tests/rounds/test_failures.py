"""An error is told where it happens: a bug in a stage, a state that cannot be kept or restored, an intent on the engine's keys."""

import dataclasses
import datetime as dt
import decimal
import enum
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from coterie import Dedicated, Leased, Runtime
from coterie.errors import CheckpointRefused, InvalidSetting, InvalidValue, RestoreFailed, StageFailed
from coterie.rounds import Edge, Gathering, Graph, Member, Mode, Simulation, Turn, together
from coterie.testing import ManualClock
from coterie.world import EventLog, World, resolvers
from coterie.world.state.values import freeze

MODES = list(Mode)


def typo(turn: Turn) -> None:
    turn.intend("add", key="n", amount=turn.vew["n"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", MODES)
def test_a_stage_that_raises_for_every_agent_in_its_first_round_ends_the_run(mode: Mode) -> None:
    with pytest.raises(StageFailed, match=r"typo of round 1 failed: it raised AttributeError.*for ada") as caught:
        Simulation(World({"n": 1}), ["ada", "ben"], Graph.chain(typo), mode=mode).run(3)
    assert isinstance(caught.value.__cause__, AttributeError)
    result = Simulation(World({"n": 1}), ["ada", "ben"], Graph.chain(typo), mode=mode, on_error="forfeit").run(3)
    assert (result.rounds, result.forfeits, result.errors) == (3, 6, 6)


def test_a_condition_that_raises_for_every_agent_ends_the_run_too() -> None:
    graph = Graph([lambda turn: None], [Edge("stage", "end", when=lambda turn: turn.nothing)])
    with pytest.raises(StageFailed, match="AttributeError"):
        Simulation(World(), ["a", "b"], graph).run(1)
    with pytest.raises(InvalidSetting, match="on_error"):
        Simulation(World(), ["a"], Graph.chain(typo), on_error="ignore")


@pytest.mark.parametrize("mode", MODES)
def test_an_error_of_some_or_of_a_later_round_forfeits_and_its_first_is_logged_with_its_traceback(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def act(turn: Turn) -> None:
        if turn.name == "a" or turn.round > 1:
            raise ValueError("seasick")

    with caplog.at_level(logging.WARNING):
        result = Simulation(World(), ["a", "b"], Graph.chain(act), mode=mode).run(3)
    assert (result.forfeits, result.errors) == (5, 5)
    (record,) = [each for each in caplog.records if each.name.startswith("coterie.rounds")]
    assert (record.levelname, "seasick" in record.getMessage()) == ("WARNING", True)
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


def test_a_resumed_run_that_fails_later_for_all_comes_to_the_end_of_an_unbroken_one(tmp_path: Path) -> None:
    def act(turn: Turn) -> None:
        if turn.round > 2:
            raise ValueError
        turn.intend("add", key="n", amount=1)

    whole = Simulation(World(), ["a"], Graph.chain(act)).run(4)
    for rounds in (2, 4):
        with World(log=EventLog(tmp_path / "run.db")) as world:
            result = Simulation(world, ["a"], Graph.chain(act)).resume(rounds)
    assert (result.digests, result.forfeits, result.errors) == (whole.digests, 2, 2)


@dataclasses.dataclass
class Point:
    x: int = 1


class Colour(enum.Enum):
    RED = 1


UNKEPT: dict[str, Any] = {
    "set": {1},
    "Point": Point(),
    "Colour": Colour.RED,
    "datetime": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "Decimal": decimal.Decimal("0.1"),
    "complex": 1j,
}


@pytest.mark.parametrize("kind", list(UNKEPT))
@pytest.mark.parametrize("logged", [False, True])
def test_a_snapshot_that_cannot_be_kept_is_an_error_of_the_run(kind: str, logged: bool, tmp_path: Path) -> None:
    class Keeper:
        def act(self, turn: Turn) -> None: ...

        def snapshot(self) -> Any:
            return [UNKEPT[kind]]

        def restore(self, state: Any) -> None: ...

    world = World(log=EventLog(tmp_path / "run.db")) if logged else World()
    with world, pytest.raises(CheckpointRefused, match=f"a cannot be kept .*{kind} is not plain data; give"):
        Simulation(world, {"a": Keeper()}, Graph.chain("act")).run(2)
    with pytest.raises(InvalidValue, match=f"'k'.*{kind} is not plain data; give"):
        freeze(UNKEPT[kind], "k")


def test_scalars_of_numpy_are_plain_data_and_arrays_are_refused_by_name() -> None:
    numpy = pytest.importorskip("numpy")
    given = {"a": numpy.int64(3), "b": numpy.float32(1.5), "c": numpy.bool_(1), "d": [numpy.float64(0.5)], "e": numpy.str_("x")}
    frozen = freeze(given)
    assert frozen == {"a": 3, "b": 1.5, "c": True, "d": (0.5,), "e": "x"}
    assert [type(each) for each in frozen.values()] == [int, float, bool, tuple, str]
    for refused in (numpy.arange(3), numpy.longdouble(1), numpy.datetime64("2026-01-01"), numpy.float32("nan")):
        with pytest.raises(InvalidValue):
            freeze(refused)

    def act(turn: Turn) -> None:
        turn.intend("set", key="x", value=numpy.int64(turn.round))

    assert Simulation(World(), ["a"], Graph.chain(act)).run(2).view["x"] == 2


class Saver:
    def __init__(self) -> None:
        self.coins = 0

    def save(self, turn: Turn) -> None:
        if turn.round == 3 and turn.name == "ben":
            raise ValueError
        self.coins += 1
        turn.intend("set", key=turn.name, value=self.coins)

    def snapshot(self) -> Any:
        return {"coins": self.coins}

    def restore(self, state: Any) -> None:
        self.coins = state["coins"]


class NewSaver(Saver):
    def restore(self, state: Any) -> None:
        self.coins = state["purse"]


class MemberSaver(Member):
    def save(self, turn: Turn) -> None: ...

    def snapshot(self) -> Any:
        return {}

    def restore(self, state: Any) -> None:
        raise KeyError("purse")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_an_agent_that_cannot_be_restored_is_an_error_before_anything_runs(
    mode: Mode, timeout: float | None, tmp_path: Path
) -> None:
    graph = Graph.chain("save")
    with World(log=EventLog(tmp_path / "run.db")) as world:
        Simulation(world, {"ada": Saver(), "ben": Saver()}, graph, mode=mode).run(2)
        last = world.sequence
        with Runtime(dispatcher=Dedicated()) as runtime:
            for agent in (NewSaver(), runtime.spawn(MemberSaver), lambda turn: None):
                broken = Simulation(world, {"ada": agent, "ben": Saver()}, graph, mode=mode, turn_timeout=timeout)
                with pytest.raises(RestoreFailed, match="ada cannot be restored") as caught:
                    broken.resume(4)
                assert caught.value.__cause__ is not None
                assert world.sequence == last
        assert Simulation(world, {"ada": Saver(), "ben": Saver()}, graph, mode=mode).resume(4).view["ada"] == 4


def test_an_agent_that_cannot_be_rebuilt_forfeits_its_turns_at_once_with_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(clock=ManualClock())
    agents = {"ada": Saver(), "ben": NewSaver()}
    with caplog.at_level(logging.WARNING):
        result = Simulation(world, agents, Graph.chain("save"), turn_timeout=1.0).run(6)
    assert (result.forfeits, dict(result.view)) == (4, {"ada": 6, "ben": 2})
    reasons = [event.reason for event in world.history() if event.kind == "forfeited"]
    assert all("ben cannot be restored from its checkpoint: KeyError: 'purse'" in each for each in reasons[1:])
    assert any("KeyError" in (record.exc_text or "") for record in caplog.records)


def lenient(resolver: resolvers.Resolver, parameters: Mapping[str, Any]) -> resolvers.Resolver:
    def decide(view: Mapping[str, Any], intents: Sequence[Any], random: Any) -> Any:
        assert parameters["most"]
        return resolver(view, intents, random)

    return decide


WAYS: list[Callable[[Turn], None]] = [
    lambda turn: turn.intend("set", key="mechanism/quota", value=1),
    lambda turn: turn.intend("set", key="mechanism/quota", value={"parameters": {}}),
    lambda turn: turn.intend("add", key="mechanism/quota", amount=1),
    lambda turn: turn.intend("move", source="n", target="mechanism/quota", amount=1),
    lambda turn: turn.intend("take", key="n", into="mechanism/quota", amount=1),
    lambda turn: turn.intend("forge"),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("mode", MODES)
def test_no_intent_changes_the_mechanisms_in_force_or_ends_the_run(way: int, mode: Mode) -> None:
    def act(turn: Turn) -> None:
        if turn.name == "mallory":
            WAYS[way](turn)
        else:
            turn.intend("set", key="seen", value=turn.round)

    forge = {"forge": lambda view, intent: resolvers.Effects(sets={"mechanism/quota": {}, "seen": 0})}
    world = World({"n": 9})
    result = Simulation(
        world,
        ["bob", "mallory"],
        Graph.chain(act, together(lambda gathering: None)),
        mode=mode,
        resolver=resolvers.FirstCome(forge),
        mechanisms={"quota": lenient},
    ).run(3)
    assert (result.view["seen"], result.view["n"], result.forfeits) == (3, 9, 0)
    assert not result.view.under("mechanism/")
    assert {event.agent for event in world.history() if event.kind == "refused"} == {"mallory"}


def test_an_intent_that_removes_a_mechanism_is_refused_and_the_mechanism_still_binds() -> None:
    def act(turn: Turn) -> None:
        if turn.round == 1:
            turn.propose("quota", most=3)
        turn.intend("remove", key="mechanism/quota")

    def judge(gathering: Gathering) -> None:
        for proposal in gathering.proposals:
            gathering.accept(proposal, "fine")

    result = Simulation(World(), ["a"], Graph.chain(act, together(judge)), mechanisms={"quota": lenient}).run(3)
    assert result.view["mechanism/quota"]["parameters"] == {"most": 3}


@pytest.mark.parametrize("entry", [1, {}, {"x": 1}, {"parameters": 1, "by": "a", "since": 1, "reason": ""}])
def test_a_log_with_an_entry_that_no_proposal_made_can_be_opened_and_resumed(
    entry: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def act(turn: Turn) -> None:
        turn.intend("add", key="n", amount=1)

    with World({"n": 0, "mechanism/quota": entry}, log=EventLog(tmp_path / "run.db")) as world:
        Simulation(world, ["a"], Graph.chain(act), mechanisms={"quota": lenient}).run(2)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert Simulation(world, ["a"], Graph.chain(act), mechanisms={"quota": lenient}).resume(4).view["n"] == 4
    assert "not in force" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_a_limit_counts_from_when_a_thread_begins_the_turn(mode: Mode) -> None:
    clock = ManualClock()
    lock = threading.Lock()

    def act(turn: Turn) -> None:
        # One thread for twenty turns of 2 s each, with a limit of 3 s.
        with lock:
            clock.advance(2)

    agents = [f"a{number:02}" for number in range(20)]
    result = Simulation(
        World(clock=clock),
        agents,
        Graph.chain(act),
        mode=mode,
        turn_timeout=3,
        dispatcher=Leased(least=1, most=1),
    ).run(2)
    assert result.forfeits == 0


def test_a_stuck_turn_that_holds_the_only_thread_does_not_hang_the_run() -> None:
    late = threading.Event()

    def act(turn: Turn) -> None:
        if turn.name == "a":
            late.wait(30)

    try:
        simulation = Simulation(
            World(), ["a", "b", "c"], Graph.chain(act), turn_timeout=0.3, dispatcher=Leased(least=1, most=1), on_error="forfeit"
        )
        assert simulation.run(1).forfeits == 3
    finally:
        late.set()
