"""Simulations in rounds, beside what would be ideal: agents that await, that block, and stragglers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness import Row, Spread, compare, durations
from coterie import Dedicated, Leased
from coterie.rounds import Graph, Mode, Simulation, Turn, per_agent
from coterie.runtime import Dispatcher
from coterie.world import World

AGENTS = 100
STAGE = 0.05
ROUNDS = 10
REPEATED = 5
NAMES = [f"agent-{number}" for number in range(AGENTS)]


async def awaits(turn: Turn) -> None:  # noqa: ARG001
    await asyncio.sleep(STAGE)


def blocks(turn: Turn) -> None:  # noqa: ARG001
    time.sleep(STAGE)


def seconds_of(mode: Mode, stage: Callable[[Turn], Any], dispatcher: Dispatcher, names: list[str], rounds: int) -> float:
    simulation = Simulation(
        World({"n": 0}), names, Graph.chain(per_agent(stage)), mode=mode, dispatcher=dispatcher, max_lead=None
    )
    return simulation.run(rounds).seconds


def one_stage() -> list[Row]:
    """A hundred agents take 50 ms each, ten rounds of one stage: ideally half a second."""
    ideal = STAGE * ROUNDS
    rows = []
    for name, stage, dispatcher in (
        ("await, leased", awaits, Leased()),
        ("await, dedicated", awaits, Dedicated()),
        ("block their threads, dedicated", blocks, Dedicated()),
        ("block their threads, leased", blocks, Leased()),
    ):
        took = [seconds_of(Mode.LOCKSTEP, stage, dispatcher, NAMES, ROUNDS) for _ in range(REPEATED)]
        reached = Spread.of(ideal / seconds for seconds in took)
        # Leased agents that block need a new thread each.
        target = "" if name == "block their threads, leased" else "within 20 %"
        figure = f"{Spread.of(took)} s, ideally {ideal:.3f} s: {1 / reached.median:.2f}"
        met = reached.median >= 1 / 1.2 if target else None
        rows.append(Row(f"100 agents {name}, 10 rounds of 50 ms: ideal / ours", figure, target, met, reached))
    return rows


def nothing(turn: Turn) -> None: ...


def empty_turns() -> list[Row]:
    """The processor time of a turn that does nothing, for a thousand agents: on one thread, and with a thread for each agent."""
    names = [f"agent-{number}" for number in range(1_000)]

    def turns(dispatcher: Dispatcher) -> float:
        simulation = Simulation(World({"n": 0}), names, Graph.chain(nothing), dispatcher=dispatcher, spans=0)
        simulation.run(1)
        began = time.process_time()
        simulation.run(ROUNDS)
        return len(names) * ROUNDS / (time.process_time() - began)

    found = compare({"shared thread": lambda: turns(Leased()), "threads of their own": lambda: turns(Dedicated())}, rounds=5)
    each = 1e6 / found.median("shared thread")
    what = "turns of 1,000 agents that do nothing, a second of the processor: shared thread / threads of their own"
    ratio = found.ratios("shared thread", "threads of their own")
    return [Row(what, f"{ratio} ({found}); {each:.0f} µs a turn", "at most 20 µs", each <= 20, ratio)]


def large_world() -> list[Row]:
    """A round of ten agents that look keys up by prefix and add keys, in a large world beside a small one."""

    def look_and_add(turn: Turn) -> None:
        number = len(turn.view.under(f"seen/{turn.name}"))
        turn.intend("set", key=f"seen/{turn.name}/{turn.round}", value=number)
        turn.intend("add", key=f"key-{turn.round}", amount=1)

    simulations = {}
    for keys in (1_000, 1_000_000):
        world = World({f"key-{number}": number for number in range(keys)})
        simulations[keys] = Simulation(world, NAMES[:10], Graph.chain(look_and_add), spans=0)
        # The first round works out the digest of the whole world.
        simulations[keys].step()
    took = durations({str(keys): simulation.step for keys, simulation in simulations.items()}, 10)
    small, large = took["1000"], took["1000000"]
    ratio = small.wall_over(large)
    figure = f"{large.wall} ms; at 1,000 keys {small.wall} ms"
    what = "a round of 10 agents at 1,000,000 keys"
    return [Row(what, figure, "as at 1,000 (within 1.5)", large.wall.median <= 1.5 * small.wall.median, ratio)]


def stragglers() -> list[Row]:
    """Twenty agents draw from 10 to 200 ms a turn, six rounds: each mode beside its ideal."""
    names, rounds = NAMES[:20], 6
    chance = random.Random(1)  # noqa: S311 - not for secrets
    times = {name: [chance.uniform(0.01, 0.2) for _ in range(rounds)] for name in names}

    async def work(turn: Turn) -> None:
        await asyncio.sleep(times[turn.name][turn.round - 1])

    slowest = max(sum(each) for each in times.values())
    barrier = sum(max(each[number] for each in times.values()) for number in range(rounds))
    rows = []
    for mode in Mode:
        ideal = slowest if mode is Mode.TOKENS else barrier
        took = Spread.of(seconds_of(mode, work, Leased(), names, rounds) for _ in range(REPEATED))
        target = "within 10 %" if mode is Mode.TOKENS else ""
        what = "the slowest agent's own sum" if mode is Mode.TOKENS else "the slowest of each round"
        figure = f"{took} s, {what} {ideal:.2f} s: {took.median / ideal:.3f}"
        rows.append(Row(f"stragglers, {mode}", figure, target, took.median / ideal <= 1.1 if target else None))
    return rows


def all_rows() -> Iterator[Row]:
    for part in (one_stage, empty_turns, large_world, stragglers):
        yield from part()
