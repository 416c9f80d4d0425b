"""How the cost of each operation of world and rounds grows, at three sizes, each four times the one before.

The figure is the time at each size, and the factor from the smallest to the largest. An operation that is to cost the same
at each size has a factor of about 1, one that is to grow in proportion about 16; the targets leave room for noise.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row
from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Gathering
from coterie.world import EventLog, Intent, World, resolvers


class Place(NamedTuple):
    """Where an operation works."""

    folder: Path
    stack: ExitStack
    """Closed after it."""


Operation = Callable[[int, Place], Callable[[], object]]
"""Takes a size and a place; returns the operation to be timed."""

KEYS = (5_000, 20_000, 80_000)
INTENTS = (250, 1_000, 4_000)
AGENTS = (50, 200, 800)
ROUNDS = (25, 100, 400)
SAME, PROPORTIONAL, SORTING = 4.0, 40.0, 80.0
"""The largest factors of operations that cost the same, that grow in proportion, and that sort, at 16 times the size.

Proportion leaves room for the caches of the processor, which hold the smallest size and not the largest.
"""


def filled(keys: int) -> World:
    return World({f"key-{number}": number for number in range(keys)})


def adds(intents: int) -> list[Intent]:
    return [Intent(f"a{number:05}", "add", {"key": f"key-{number}", "amount": 1}) for number in range(intents)]


def commit_one(keys: int, _: Place) -> Callable[[], object]:
    world = filled(keys)
    world.commit(adds(1))
    return lambda: [world.commit(adds(1)) for _ in range(100)]


def update_one(keys: int, _: Place) -> Callable[[], object]:
    world = filled(keys)
    return lambda: [world.update({"key-1": number}) for number in range(100)]


def digest(keys: int, _: Place) -> Callable[[], object]:
    world = filled(keys)
    world.digest()
    return lambda: [(world.update({"key-1": number}), world.digest()) for number in range(100)]


def expire(keys: int, _: Place) -> Callable[[], object]:
    world = World()
    world.update({f"key-{number}": number for number in range(keys)}, ttl=1e9)
    return lambda: [world.expire() for _ in range(1_000)]


def under(keys: int, _: Place) -> Callable[[], object]:
    world = filled(keys)
    list(world.view())

    def look() -> None:
        for number in range(100):
            world.update({"key-1": number})
            world.view().under("key-999")

    return look


def at(keys: int, _: Place) -> Callable[[], object]:
    world = filled(keys)
    for number in range(200):
        world.update({"key-1": number})
    return lambda: [world.at(number) for number in range(50, 150)]


def first_state(keys: int, _: Place) -> Callable[[], object]:
    return lambda: filled(keys)


def snapshot(keys: int, place: Place) -> Callable[[], object]:
    world = place.stack.enter_context(
        World({f"key-{n}": n for n in range(keys)}, log=EventLog(place.folder / "run.db", durable=False))
    )
    return world.snapshot


def commit_many(intents: int, _: Place) -> Callable[[], object]:
    world = World()
    return lambda: world.commit(adds(intents))


def objections(intents: int, _: Place) -> Callable[[], object]:
    world = World()
    world.validate(lambda _, after: "no" if "key" in after else None)
    batch = [Intent(f"a{number:05}", "set", {"key": "key", "value": number}) for number in range(intents)]
    return lambda: world.commit(batch)


def resolver_of(kind: Callable[[], resolvers.Resolver]) -> Operation:
    def operation(intents: int, _: Place) -> Callable[[], object]:
        world = World({"lake": intents})
        batch = [Intent(f"a{number:05}", "take", {"key": "lake", "amount": 1.5}) for number in range(intents)]
        return lambda: world.commit(batch, resolver=kind())

    return operation


def read_log(commits: int, place: Place) -> Callable[[], object]:
    world = place.stack.enter_context(World(log=EventLog(place.folder / "run.db", durable=False)))
    for number in range(commits):
        world.update({"key": number})
    log = world.log
    assert log is not None
    return lambda: sum(1 for _ in log.events())


def act(turn: Turn) -> None:
    turn.intend("add", key="n", amount=1)


def judge(gathering: Gathering) -> int:
    return len(gathering.agents)


def one_round(mode: Mode, *, gather: bool, logged: bool = False) -> Operation:
    graph = Graph.chain(act, together(judge)) if gather else Graph.chain(act)

    def operation(agents: int, place: Place) -> Callable[[], object]:
        log = EventLog(place.folder / "run.db", durable=False) if logged else None
        world = place.stack.enter_context(World({"n": 0}, log=log))
        simulation = Simulation(world, [f"a{number}" for number in range(agents)], graph, mode=mode)
        simulation.run(1)
        return simulation.step

    return operation


class Planner:
    def __init__(self, town: list[int]) -> None:
        self.town = town

    def act(self, turn: Turn) -> None:
        turn.intend("set", key=turn.name, value=len(self.town))


class Rota:
    """A result that is not plain data."""

    def __init__(self, shifts: list[int]) -> None:
        self.shifts = shifts


def sharing(agents: int, _: Place) -> Callable[[], object]:
    town = list(range(1_000))
    planners = {f"a{number}": Planner(town) for number in range(agents)}
    return lambda: Simulation(World(), planners, Graph.chain("act"), checkpoints=False).run(1)


def unread_result(agents: int, _: Place) -> Callable[[], object]:
    def assign(_: Gathering) -> Rota:
        return Rota(list(range(1_000)))

    simulation = Simulation(World({"n": 0}), [f"a{number}" for number in range(agents)], Graph.chain(together(assign), act))
    simulation.run(1)
    return simulation.step


def later_round(rounds: int, place: Place) -> Callable[[], object]:
    world = place.stack.enter_context(World({"n": 0}, log=EventLog(place.folder / "run.db", durable=False)))
    simulation = Simulation(world, ["a", "b"], Graph.chain(act), spans=0)
    simulation.run(rounds)
    return simulation.step


def resumption(rounds: int, place: Place) -> Callable[[], object]:
    world = place.stack.enter_context(World({"n": 0}, log=EventLog(place.folder / "run.db", durable=False)))
    Simulation(world, ["a", "b"], Graph.chain(act)).run(rounds)
    return lambda: Simulation(world, ["a", "b"], Graph.chain(act)).resume(rounds + 1)


def replay(rounds: int, place: Place) -> Callable[[], object]:
    world = place.stack.enter_context(World({"n": 0}, log=EventLog(place.folder / "run.db", durable=False)))
    simulation = Simulation(world, ["a", "b"], Graph.chain(act))
    simulation.run(rounds)
    log = world.log
    assert log is not None
    return lambda: simulation.replay(log)


OPERATIONS: list[tuple[str, Operation, tuple[int, ...], str, float]] = [
    ("100 commits of an intent", commit_one, KEYS, "keys", SAME),
    ("100 updates", update_one, KEYS, "keys", SAME),
    ("100 updates, each with a digest", digest, KEYS, "keys", SAME),
    ("1,000 times expire, nothing due", expire, KEYS, "keys", SAME),
    ("100 times under, a hundredth of the keys", under, KEYS, "keys", PROPORTIONAL),
    ("100 times at, recent", at, KEYS, "keys", SAME),
    ("a first state", first_state, KEYS, "keys", SORTING),
    ("a snapshot in the log", snapshot, KEYS, "keys", PROPORTIONAL),
    ("a commit of n intents", commit_many, INTENTS, "intents", PROPORTIONAL),
    ("… an invariant objects to each", objections, INTENTS, "intents", PROPORTIONAL),
    ("… Rationing", resolver_of(lambda: resolvers.Rationing("lake")), INTENTS, "intents", PROPORTIONAL),
    ("… Lottery", resolver_of(resolvers.Lottery), INTENTS, "intents", PROPORTIONAL),
    ("… Merge", resolver_of(resolvers.Merge), INTENTS, "intents", PROPORTIONAL),
    ("… RefuseOnConflict", resolver_of(resolvers.RefuseOnConflict), INTENTS, "intents", PROPORTIONAL),
    ("reading a log of small commits", read_log, (1_000, 4_000, 16_000), "commits", PROPORTIONAL),
    *(
        (f"a round in {mode}{', a stage together' * gather}", one_round(mode, gather=gather), AGENTS, "agents", PROPORTIONAL)
        for mode in Mode
        for gather in (False, True)
    ),
    ("a first round of agents that share 1,000 numbers", sharing, AGENTS, "agents", PROPORTIONAL),
    ("a round with a result of 1,000 numbers that nobody reads", unread_result, AGENTS, "agents", PROPORTIONAL),
    ("a round with a checkpoint", one_round(Mode.LOCKSTEP, gather=False, logged=True), AGENTS, "agents", PROPORTIONAL),
    ("a round with a checkpoint, after n rounds", later_round, ROUNDS, "rounds", SAME),
    ("a resumption", resumption, ROUNDS, "rounds", PROPORTIONAL),
    ("a replay", replay, ROUNDS, "rounds", PROPORTIONAL),
]


def seconds(operation: Operation, size: int) -> float:
    """Return the shortest of three times, in seconds of the processor, because others may use the machine."""
    times = []
    for _ in range(3):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coterie-bench-")))
            work = operation(size, Place(folder, stack))
            # The garbage collector would else go through what was just made, in the middle of the operation.
            gc.collect()
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return min(times)


def all_rows() -> Iterator[Row]:
    for name, operation, sizes, unit, most in OPERATIONS:
        times = [seconds(operation, size) for size in sizes]
        factor = times[-1] / max(times[0], 1e-9)
        figure = ", ".join(f"{1_000 * each:.2f} ms" for each in times) + f": x{factor:.1f}"
        target = {SAME: "the same", PROPORTIONAL: "in proportion", SORTING: "n log n"}[most]
        at_sizes = ", ".join(f"{size:,}" for size in sizes)
        yield Row(f"{name}; {at_sizes} {unit}", figure, f"{target} (under x{most:g})", factor < most)
