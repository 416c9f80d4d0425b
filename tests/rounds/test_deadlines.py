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


@pytest.mark.parametrize(("more", "forfeits"), [(0.05, 0), (0.5, 1)])
def test_the_wait_of_an_asynchronous_turn_for_a_thread_does_not_count(
    more: float, forfeits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    entered = {name: threading.Event() for name in ("ada", "ben", "cid")}
    gates = {name: threading.Event() for name in ("ben", "cid")}
    resumed = threading.Event()
    extended: list[str] = []
    extend = Deadlines.extend

    def counting(self: Deadlines, turn: Turn) -> bool:
        found = extend(self, turn)
        if found:
            extended.append(turn.name)
        return found

    monkeypatch.setattr(Deadlines, "extend", counting)

    class Agent:
        async def act(self, turn: Turn) -> None:
            if turn.name == "ada":
                entered["ada"].set()
                await asyncio.sleep(0.1)
                loop = asyncio.get_running_loop()
                done = loop.create_future()
                loop.call_later(more, done.set_result, None)
                resumed.set()
                await done
            else:
                entered[turn.name].set()
                gates[turn.name].wait(10)
            turn.intend("set", key=turn.name, value=turn.round)

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
    clock.advance(0.09)
    clock.advance(0.02)
    # Her deadline has passed, and she has worked for 0.1 s or 0.2 s.
    eventually(lambda: extended == ["ada"])
    gates["cid"].set()
    assert resumed.wait(10)
    clock.advance(0.05 if not forfeits else 0.25)
    thread.join(10)
    assert results[0].forfeits == forfeits
    assert sorted(results[0].view) == (["ada", "ben", "cid"] if not forfeits else ["ben", "cid"])
