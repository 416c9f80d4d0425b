"""Which turns are forfeited follows from what the turns take, and not from how many threads there are."""

from __future__ import annotations

import asyncio
import threading

import pytest

from coterie import Leased
from coterie.concurrency import start_thread
from coterie.rounds import Graph, Result, Simulation, Turn
from coterie.rounds.engine.deadlines import Deadlines
from coterie.testing import ManualClock, eventually
from coterie.world import World


def test_an_asynchronous_turn_is_not_forfeited_while_it_waits_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    entered = {name: threading.Event() for name in ("ada", "ben", "cid")}
    gates = {name: threading.Event() for name in ("ben", "cid")}
    begun: list[str] = []
    begin = Deadlines.begin

    def counting(self: Deadlines, turn: Turn) -> None:
        begin(self, turn)
        begun.append(turn.name)

    monkeypatch.setattr(Deadlines, "begin", counting)

    class Agent:
        async def act(self, turn: Turn) -> None:
            if turn.name == "ada":
                entered["ada"].set()
                await asyncio.sleep(0.1)
            else:
                entered[turn.name].set()
                gates[turn.name].wait(10)
            turn.intend("set", key=turn.name, value=clock.monotonic())

        def snapshot(self) -> None: ...

        def restore(self, state: None) -> None: ...

    agents = {name: Agent() for name in ("ada", "ben", "cid")}
    one = Leased(least=1, most=1)
    simulation = Simulation(World(clock=clock), agents, Graph.chain("act"), turn_timeout=0.3, dispatcher=one)
    results: list[Result] = []
    thread = start_thread(lambda: results.append(simulation.run(1)), "simulation")
    assert entered["ada"].wait(10)
    assert entered["ben"].wait(10)
    clock.advance(0.2)
    # Ada could go on, but Cid has waited for the thread for longer.
    gates["ben"].set()
    assert entered["cid"].wait(10)
    clock.advance(0.2)
    # Her deadline has passed: she is given the whole limit again.
    eventually(lambda: begun == ["ada", "ben", "cid", "ada"])
    gates["cid"].set()
    thread.join(10)
    assert results[0].forfeits == 0
    assert sorted(results[0].view) == ["ada", "ben", "cid"]
