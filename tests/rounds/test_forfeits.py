"""A turn that raises, or takes too long, is forfeited as an event, and stops nobody else."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from coterie.concurrency import Thread, start_thread
from coterie.errors import InvalidSetting, ResolverFailed, StageFailed, TurnForfeited
from coterie.rounds import Closing, Edge, Gathering, Graph, Mode, Result, Simulation, Turn, per_agent, together
from coterie.testing import ManualClock, eventually
from coterie.world import EventLog, World, resolvers

MODES = list(Mode)


class Counter:
    """Counts its turns, and does something in the second."""

    def __init__(self, second: Any = None) -> None:
        self.count = 0
        self.second = second

    def act(self, turn: Turn) -> None:
        self.count += 1
        turn.intend("set", key=f"count/{turn.name}", value=self.count)
        if self.second is not None and turn.round == 2:
            self.second(turn)

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state

    def __deepcopy__(self, memo: object) -> "Counter":
        return Counter(self.second)


def fail(turn: Turn) -> None:
    raise ValueError("seasick")


@pytest.mark.parametrize("mode", MODES)
def test_a_stage_that_raises_forfeits_that_turn_and_rebuilds_its_agent(mode: Mode) -> None:
    world = World()
    result = Simulation(world, {"a": Counter(fail), "b": Counter()}, Graph.chain("act"), mode=mode).run(3)
    # The count of the second turn went with it.
    assert dict(result.view) == {"count/a": 2, "count/b": 3}
    assert result.forfeits == 1
    (event,) = [event for event in world.history() if event.kind == "forfeited"]
    assert (event.agent, event.round, event.details["stage"]) == ("a", 2, "act")
    assert event.reason == "it raised ValueError: seasick"
    (refused,) = [event for event in world.history() if event.kind == "refused"]
    assert (refused.agent, refused.details["value"]) == ("a", 2)
    assert "forfeited" in refused.reason


def run_in_thread(simulation: Simulation, rounds: int) -> tuple[Thread, list[Result]]:
    results: list[Result] = []
    return start_thread(lambda: results.append(simulation.run(rounds)), "simulation"), results


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stage_that_never_returns_is_given_up_at_its_deadline(mode: Mode, asynchronous: bool, tmp_path: Path) -> None:
    stuck, late = threading.Event(), threading.Event()
    refused: list[str] = []

    def block(turn: Turn) -> None:
        stuck.set()
        late.wait(30)
        try:
            turn.intend("set", key="late", value=True)
        except TurnForfeited as error:
            refused.append(str(error))

    class Sleeper(Counter):
        async def act(self, turn: Turn) -> None:  # type: ignore[override]
            Counter.act(self, turn)
            if turn.round == 2 and turn.name == "a":
                stuck.set()
                await asyncio.sleep(1e6)

        def __deepcopy__(self, memo: object) -> "Sleeper":
            return Sleeper()

    clock = ManualClock()
    agents = {"a": Sleeper() if asynchronous else Counter(block), "b": Counter()}
    with World(log=EventLog(tmp_path / "run.db", durable=False), clock=clock) as world:
        simulation = Simulation(world, agents, Graph.chain("act"), mode=mode, turn_timeout=30)
        thread, results = run_in_thread(simulation, 4)
        assert stuck.wait(10)
        # Only the one that is stuck is still at its turn, so that no other can be late too.
        engine = simulation._engine
        assert engine is not None
        eventually(lambda: [turn.name for turn, _ in list(engine.running.values())] == ["a"])
        clock.advance(29.9)
        assert results == []
        clock.advance(0.2)
        eventually(lambda: not thread.is_alive())
        (result,) = results
        assert (result.rounds, result.forfeits) == (4, 1)
        assert dict(result.view) == {"count/a": 3, "count/b": 4}
        (event,) = [event for event in world.history() if event.kind == "forfeited"]
        assert (event.agent, event.reason) == ("a", "it took longer than 30 s")
        late.set()
        if not asynchronous:
            eventually(lambda: refused)
            assert "was forfeited: it took longer than 30 s" in refused[0]
        assert "late" not in world.view()
        assert world.log is not None
        # What time decided is in the record: a replay asks no clock.
        late.set()
        again = Simulation(World(), agents, Graph.chain("act"), mode=mode).replay(world.log)
        assert again.digests == result.digests


def test_a_together_stage_that_raises_or_never_returns_is_one_clear_error() -> None:
    def idle(turn: Turn) -> None: ...

    def judge(gathering: Gathering) -> None:
        raise ValueError("asleep")

    with pytest.raises(StageFailed, match="judge of round 1 failed: ValueError: asleep; earlier stages are kept"):
        Simulation(World(), ["a"], Graph.chain(idle, together(judge))).run(1)
    stuck, late = threading.Event(), threading.Event()

    def ponder(gathering: Gathering) -> None:
        stuck.set()
        late.wait(30)

    clock = ManualClock()
    simulation = Simulation(World(clock=clock), ["a"], Graph.chain(idle, together(ponder)), turn_timeout=5)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            simulation.run(1)
        except StageFailed as error:
            errors.append(error)

    thread = start_thread(run, "simulation")
    assert stuck.wait(10)
    eventually(lambda: (clock.advance(5), not thread.is_alive())[1])
    late.set()
    assert "ponder of round 1 failed: it took longer than 5 s" in str(errors[0])


def test_errors_of_settle_and_of_the_resolver_are_clear() -> None:
    def settle(closing: Closing) -> None:
        raise ValueError("no money")

    with pytest.raises(StageFailed, match="settle of round 1 failed: it raised ValueError: no money"):
        Simulation(World(), ["a"], Graph.chain(lambda turn: None), settle=settle).run(1)

    def act(turn: Turn) -> None:
        turn.intend("anything")

    with pytest.raises(ResolverFailed):
        Simulation(World(), ["a"], Graph.chain(act), resolver=lambda *_: []).run(1)


def test_invalid_intents_and_conditions_forfeit_the_turn() -> None:
    @per_agent
    def act(turn: Turn) -> None:
        turn.intend("set", key="k", value={1, 2})

    result = Simulation(World(), ["a"], Graph.chain(act), on_error="forfeit").run(1)
    assert result.forfeits == 1

    @per_agent
    def again(turn: Turn) -> None: ...

    graph = Graph([again], [Edge("again", "again", when=lambda turn: turn.inputs["nothing"])])
    assert Simulation(World(), ["a"], graph, on_error="forfeit").run(1).forfeits == 1
    endless = Graph([again], [Edge("again", "again", when=lambda turn: True)])
    world = World()
    assert Simulation(world, ["a"], endless).run(1).forfeits == 1
    assert "more than 10000 times" in next(event.reason for event in world.history() if event.kind == "forfeited")


def test_a_process_exit_in_a_stage_is_a_forfeit() -> None:
    def act(turn: Turn) -> None:
        raise SystemExit(3)

    async def later(turn: Turn) -> None:
        raise SystemExit(3)

    for stage in (act, later):
        result = Simulation(World(), ["a", "b"], Graph.chain(stage), on_error="forfeit").run(2)
        assert result.forfeits == 4


def test_refusing_everything_is_total() -> None:
    def act(turn: Turn) -> None:
        turn.intend("take", key="lake", amount=1)

    world = World({"lake": 5})
    nobody = lambda view, intents, random: [resolvers.refused(each, "closed") for each in intents]  # noqa: E731
    Simulation(world, ["a"], Graph.chain(act), resolver=nobody).run(2)
    assert [event.reason for event in world.history() if event.kind == "refused"] == ["closed", "closed"]


class Spent(Exception):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_an_error_that_halts_is_not_a_forfeit_and_the_run_continues_from_its_last_round(mode: Mode, tmp_path: Path) -> None:
    purse = [3]

    def pay(turn: Turn) -> None:
        if not purse[0]:
            raise Spent
        purse[0] -= 1

    class Payer(Counter):
        def act(self, turn: Turn) -> None:
            pay(turn)
            super().act(turn)

        def __deepcopy__(self, memo: object) -> "Payer":
            return Payer()

    def simulation(path: Path) -> Simulation:
        world = World(log=EventLog(path))
        return Simulation(world, {"a": Payer()}, Graph.chain("act"), mode=mode, halt_on=(Spent,))

    halted = simulation(tmp_path / "halted.db")
    with halted.plan.world, pytest.raises(Spent):
        halted.run(6)
    purse[0] = 100
    resumed = simulation(tmp_path / "halted.db")
    with resumed.plan.world:
        later = resumed.resume(6)
    whole = simulation(tmp_path / "whole.db")
    with whole.plan.world:
        once = whole.run(6)
    assert (later.digest, later.forfeits) == (once.digest, 0)


def test_an_error_that_halts_is_seen_behind_that_of_an_agent_that_was_asked_and_in_a_stage_that_is_done_together() -> None:
    def judge(gathering: Gathering) -> None:
        raise LookupError("asked in vain") from Spent()

    with pytest.raises(Spent):
        Simulation(World(), {"a": Counter()}, Graph.chain("act", together(judge)), halt_on=(Spent,)).run(1)


@pytest.mark.parametrize("kinds", [(1,), "ValueError", (KeyboardInterrupt,), None])
def test_halt_on_takes_types_of_errors(kinds: Any) -> None:
    with pytest.raises(InvalidSetting, match="halt_on"):
        Simulation(World(), ["a"], Graph.chain(together(lambda _: None)), halt_on=kinds)
