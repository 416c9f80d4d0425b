"""Plain turns of many agents are done by one thread, and nothing but the number of threads tells."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from coterie import Agent, AgentRef, Dedicated, Leased, Message, Runtime, on
from coterie.concurrency import start_thread
from coterie.errors import TurnForfeited
from coterie.kernel import Clock
from coterie.rounds import Graph, Mode, Result, Simulation, Turn, commit, together
from coterie.rounds.engine import turn_queues
from coterie.rounds.engine.executors import ExecutorPool
from coterie.rounds.engine.turn_queue import TurnQueue
from coterie.rounds.engine.turn_queues import TurnQueues
from coterie.testing import ManualClock, eventually
from coterie.world import World

NAMES = [f"agent-{number}" for number in range(8)]


class Saver:
    """Has a state, draws, and fails now and then."""

    def __init__(self) -> None:
        self.saved = 0

    def save(self, turn: Turn) -> int:
        if turn.draw.chance(0.1):
            raise ValueError("robbed")
        self.saved += turn.draw.below(5)
        turn.intend("add", key="bank", amount=self.saved)
        return self.saved

    def tell(self, turn: Turn) -> None:
        turn.intend("set", key=f"saved/{turn.name}", value=turn.inputs["save"])

    def snapshot(self) -> int:
        return self.saved

    def restore(self, state: int) -> None:
        self.saved = state


@pytest.mark.parametrize("mode", list(Mode))
def test_the_outcome_is_that_of_a_thread_for_each_agent(mode: Mode) -> None:
    ends = () if mode is Mode.TOKENS else (commit,)
    graph = Graph.chain("save", *ends, "tell", together(lambda gathering: gathering.round))
    results: list[Result] = []
    for dispatcher in (Leased(), Dedicated()):
        agents = {name: Saver() for name in NAMES}
        results.append(Simulation(World(), agents, graph, mode=mode, seed=3, dispatcher=dispatcher).run(6))
    if mode is Mode.TOKENS:
        # Time decides the order of commits there, but nothing else.
        assert results[0].forfeits == results[1].forfeits > 0
    else:
        assert results[0].digests == results[1].digests
        assert results[0].forfeits == results[1].forfeits > 0


def test_plain_turns_of_many_share_a_thread_and_a_dispatcher_of_own_threads_is_honoured() -> None:
    def threads_of(dispatcher: Any) -> set[int]:
        found: set[int] = set()
        Simulation(World(), NAMES, Graph.chain(lambda turn: found.add(threading.get_ident())), dispatcher=dispatcher).run(1)
        return found

    started: list[str] = []
    assert len(threads_of(Dedicated())) == len(NAMES)
    result = Simulation(World(), NAMES, Graph.chain(lambda turn: started.append(turn.name))).run(3)
    assert started == sorted(NAMES) * 3
    # One message each round, and not one for each agent.
    assert result.runtime.totals.handled == 3


def test_without_an_interpreter_lock_no_turns_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    result = Simulation(World(), NAMES, Graph.chain(lambda turn: turn.intend("add", key="sum", amount=1))).run(2)
    assert result.view["sum"] == 2 * len(NAMES)
    assert result.runtime.totals.handled == 2 * len(NAMES)


def test_a_turn_that_waits_holds_up_no_other_and_its_stage_gets_threads_of_its_own() -> None:
    others = threading.Semaphore(0)
    waited: list[bool] = []

    def act(turn: Turn) -> None:
        if turn.name == NAMES[0]:
            # It ends when all others have ended.
            waited.append(sum(others.acquire(timeout=20) for _ in NAMES[1:]) == len(NAMES) - 1)
        else:
            others.release()

    Simulation(World(), NAMES, Graph.chain(act)).run(3)
    assert waited == [True] * 3


@pytest.mark.parametrize("advanced", ["before the look", "after it"])
def test_a_turn_that_never_returns_is_forfeited_at_its_deadline_and_refuses_what_comes_late(
    advanced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    stuck, late = threading.Event(), threading.Event()
    looks = threading.Event()
    refused: list[str] = []
    look = TurnQueues._look

    def looking(self: TurnQueues) -> None:
        assert looks.wait(20)
        look(self)

    monkeypatch.setattr(TurnQueues, "_look", looking)

    def act(turn: Turn) -> None:
        if turn.name == NAMES[2] and turn.round == 1:
            stuck.set()
            late.wait(20)
            try:
                turn.intend("set", key="late", value=True)
            except TurnForfeited as error:
                refused.append(str(error))
            return
        turn.intend("add", key=turn.name, amount=1)

    results: list[Result] = []
    simulation = Simulation(World(clock=clock), NAMES, Graph.chain(act), turn_timeout=30)
    thread = start_thread(lambda: results.append(simulation.run(3)), "simulation")
    assert stuck.wait(20)
    engine = simulation._engine
    assert engine is not None
    if advanced == "before the look":
        clock.advance(31)
        looks.set()
    else:
        looks.set()
        eventually(lambda: [turn.name for turn, _ in list(engine.running.values())] == [NAMES[2]])
        eventually(lambda: engine.deadlines._turns)
        clock.advance(29)
        assert thread.is_alive()
        clock.advance(1)
    thread.join(20)
    assert results[0].forfeits == 1
    assert dict(results[0].view) == {name: 3 - (name == NAMES[2]) for name in NAMES}
    late.set()
    eventually(lambda: refused)
    assert "it took longer than 30 s" in refused[0]


def test_a_queue_that_gets_its_thread_late_costs_no_turn_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(start=1_000.0)
    begun, taken_back = threading.Event(), threading.Event()
    run, hand_back = TurnQueue.run, TurnQueues._hand_back

    def late(self: TurnQueue, given: Clock) -> None:
        # It takes its first turn while the engine takes turns back, and notes when only afterwards.
        first = self.waiting.popleft()
        begun.set()
        assert taken_back.wait(20)
        self.waiting.appendleft(first)
        run(self, given)

    def taking_back(self: TurnQueues) -> None:
        assert begun.wait(20)
        hand_back(self)
        taken_back.set()

    monkeypatch.setattr(TurnQueue, "run", late)
    monkeypatch.setattr(TurnQueues, "_hand_back", taking_back)
    act = lambda turn: turn.intend("add", key="sum", amount=1)  # noqa: E731
    result = Simulation(World(clock=clock), NAMES, Graph.chain(act), turn_timeout=30).run(1)
    assert (result.forfeits, result.view["sum"]) == (0, len(NAMES))


def test_a_turn_that_ended_too_late_is_forfeited_too() -> None:
    clock = ManualClock()

    def act(turn: Turn) -> None:
        turn.intend("set", key=turn.name, value=1)
        if turn.name == NAMES[3]:
            clock.advance(30)

    world = World(clock=clock)
    result = Simulation(world, NAMES, Graph.chain(act), turn_timeout=30).run(1)
    assert result.forfeits == 1
    assert NAMES[3] not in result.view


def test_context_variables_end_with_the_turn_that_sets_them() -> None:
    seen = ContextVar("seen", default="nothing")
    outside = ContextVar("outside", default="nothing")
    found: list[tuple[str, str]] = []

    def act(turn: Turn) -> None:
        found.append((seen.get(), outside.get()))
        seen.set(turn.name)

    outside.set("given")
    Simulation(World(), NAMES, Graph.chain(act)).run(2)
    assert set(found) == {("nothing", "given")}


class Hello(Message):
    pass


def test_a_turn_sends_messages_in_the_name_of_its_agent() -> None:
    heard: list[str] = []

    class Ear(Agent):
        @on
        def hello(self, message: Hello) -> None:
            sender = self.context.sender
            heard.append(sender.name if sender is not None else "")

    with Runtime() as runtime:
        ear: AgentRef = runtime.spawn(Ear)
        Simulation(World(), NAMES, Graph.chain(lambda turn: ear.tell(Hello()))).run(2)
        eventually(lambda: sorted(heard) == sorted(NAMES * 2))


def test_a_plain_function_may_return_what_is_to_be_awaited() -> None:
    async def later(turn: Turn) -> int:
        await asyncio.sleep(0)
        turn.intend("add", key="sum", amount=1)
        return 1

    results: list[int] = []

    def act(turn: Turn) -> Any:
        return later(turn)

    graph = Graph.chain(act, lambda turn: results.extend(turn.inputs.values()))
    assert Simulation(World(), NAMES, graph).run(3).view["sum"] == 24
    assert results == [1] * 24


def test_an_error_that_halts_ends_the_run_while_another_turn_waits() -> None:
    go_on = threading.Event()

    class Spent(Exception):
        pass

    def act(turn: Turn) -> None:
        if turn.name == NAMES[0]:
            raise Spent
        if turn.name == NAMES[1]:
            go_on.wait(20)
        elif turn.name == NAMES[-1]:
            go_on.set()

    with pytest.raises(Spent):
        Simulation(World(), NAMES, Graph.chain(act), halt_on=(Spent,)).run(1)
    assert go_on.is_set()


def test_health_names_the_agent_whose_turn_a_queue_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_queues, "_LOOK", 60.0)
    pools: list[ExecutorPool] = []
    make = ExecutorPool.__init__

    def note(pool: ExecutorPool, *arguments: Any) -> None:
        make(pool, *arguments)
        pools.append(pool)

    monkeypatch.setattr(ExecutorPool, "__init__", note)
    seen: list[tuple[str, str, str]] = []

    def look(turn: Turn) -> None:
        health = pools[0].runtime.health().values()
        seen.extend((turn.name, each.name, each.acts_for) for each in health if each.acts_for)

    Simulation(World({"n": 0}), NAMES, Graph.chain(look)).run(1)
    assert seen == [(name, "turn-queue", name) for name in NAMES]
