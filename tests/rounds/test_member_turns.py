"""The turns of runtime agents, which the engine asks for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from coterie import Message, Runtime, on
from coterie.concurrency import start_thread
from coterie.messaging import MailboxPolicy
from coterie.rounds import Graph, Member, Simulation, Turn
from coterie.testing import ManualClock, eventually
from coterie.world import World


class Hold(Message):
    """Block the agent's thread."""


class Busy(Member):
    def __init__(self, held: threading.Event, gate: threading.Event) -> None:
        self.held, self.gate = held, gate

    @on
    def hold(self, message: Hold) -> None:
        self.held.set()
        self.gate.wait(10)

    def act(self, turn: Turn) -> str:
        return turn.name


def test_a_full_mailbox_holds_up_neither_the_engine_nor_other_agents() -> None:
    clock = ManualClock()
    held, gate = threading.Event(), threading.Event()
    with Runtime() as runtime:
        busy = runtime.spawn(Busy, held, gate, mailbox=MailboxPolicy.wait(capacity=1))
        busy.tell(Hold())
        assert held.wait(10)
        busy.tell(Hold())
        done: list[str] = []
        agents = {"ada": busy, "ben": lambda turn: done.append(turn.name)}
        simulation = Simulation(World(clock=clock), agents, Graph.chain("act"), turn_timeout=5)
        thread = start_thread(lambda: done.append(str(simulation.run(1).forfeits)), "simulation")
        eventually(lambda: "ben" in done)
        clock.advance(5)
        thread.join(10)
        gate.set()
    assert done == ["ben", "1"]


def test_the_handler_of_a_late_turn_is_cancelled_and_the_agent_takes_its_next_turn() -> None:
    clock = ManualClock()
    begun, cancelled = threading.Event(), threading.Event()

    class Slow(Member):
        async def act(self, turn: Turn) -> int:
            if turn.round == 1:
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()
            turn.intend("set", key="round", value=turn.round)
            return turn.round

    with Runtime() as runtime:
        simulation = Simulation(
            World(clock=clock), {"ada": runtime.spawn(Slow)}, Graph.chain("act"), turn_timeout=5, on_error="forfeit"
        )
        results = []
        thread = start_thread(lambda: results.append(simulation.run(2)), "simulation")
        assert begun.wait(10)
        clock.advance(5)
        thread.join(10)
    assert cancelled.wait(10)
    assert (results[0].forfeits, dict(results[0].view)) == (1, {"round": 2})


def test_a_turn_that_an_agent_cannot_take_is_forfeited_with_its_error() -> None:
    class Gone(Member):
        def act(self, turn: Turn) -> None:
            raise LookupError(turn.name)

    with Runtime() as runtime:
        ada, ben = runtime.spawn(Gone), runtime.spawn(Gone)
        ben.stop().result(10)
        world = World()
        simulation = Simulation(world, {"ada": ada, "ben": ben, "cid": lambda _: None}, Graph.chain("act"), on_error="forfeit")
        assert simulation.run(1).forfeits == 2


def test_asks_that_have_not_ended_are_taken_back_at_the_end_of_a_run() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    class Waiting(Member):
        async def act(self, turn: Turn) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    class Enough(Exception):
        pass

    def stops(turn: Turn) -> None:
        assert begun.wait(10)
        raise Enough

    with Runtime() as runtime:
        agents = {"ada": runtime.spawn(Waiting), "ben": stops}
        simulation = Simulation(World(), agents, Graph.chain("act"), turn_timeout=0.3, halt_on=(Enough,))
        with pytest.raises(Enough):
            simulation.run(1)
        assert cancelled.wait(10)
