"""Boltzmann wealth: everybody who has a coin gives one to somebody, drawn at random; as messages, and as logged intents."""

from __future__ import annotations

import asyncio
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.harness import Comparison, Row, Spread, compare, rate, ratio_row
from coterie import Agent, AgentRef, Message, Request, Runtime, on
from coterie.rounds import AgentGroup, ColumnTurn, Graph, Mode, Simulation, Turn, for_all
from coterie.world import EventLog, World, resolvers

try:
    import mesa
except ImportError:
    mesa = None

AGENTS = 1_000
STEPS = 10
STEPS_OF_AUTOGEN = 3
LOGGED_STEPS = 30
RAW_STEPS = 180
"""The steps a second of raw asyncio on the machine for which the targets were set."""


class Step(Request[int]):
    to: AgentRef


class Gift(Message):
    coins: int


class Holder(Agent):
    def __init__(self) -> None:
        self.coins = 1

    @on
    def step(self, message: Step) -> int:
        if self.coins:
            self.coins -= 1
            message.to.tell(Gift(1))
        return self.coins

    @on
    def gift(self, message: Gift) -> None:
        self.coins += message.coins


def targets(steps: int) -> list[list[int]]:
    chance = random.Random(1)  # noqa: S311 - not for secrets
    return [[chance.randrange(AGENTS) for _ in range(AGENTS)] for _ in range(steps)]


class AsyncHolder(Agent):
    """The same with ``async`` handlers, which do not wait."""

    def __init__(self) -> None:
        self.coins = 1

    @on
    async def step(self, message: Step) -> int:
        if self.coins:
            self.coins -= 1
            message.to.tell(Gift(1))
        return self.coins

    @on
    async def gift(self, message: Gift) -> None:
        self.coins += message.coins


class Ours:
    def __init__(self, kind: type[Agent] = Holder) -> None:
        self.runtime = Runtime(ask_timeout=None)
        self.holders = [self.runtime.spawn(kind) for _ in range(AGENTS)]

    def run(self) -> float:
        began = time.perf_counter()
        for to in targets(STEPS):
            replies = [holder.ask(Step(self.holders[to[n]])) for n, holder in enumerate(self.holders)]
            for reply in replies:
                reply.result()
        return AGENTS * STEPS / (time.perf_counter() - began)


def messages() -> list[Row]:
    """One ask an agent and step, one tell a gift, among a thousand runtime agents, beside the peers."""
    ours = Ours()
    waiting = Ours(AsyncHolder)
    bare = RawWealth()
    contestants: dict[str, Any] = {"ours": ours.run, "ours, async": waiting.run, "raw asyncio": bare.run}
    closing: list[Any] = [ours.runtime.stop, waiting.runtime.stop, bare.close]
    if peers.pykka is not None:
        pykka_wealth = PykkaWealth()
        contestants["Pykka"] = pykka_wealth.run
        closing.append(pykka_wealth.close)
    if peers.autogen_core is not None:
        autogen_wealth = AutoGenWealth()
        contestants["AutoGen Core"] = autogen_wealth.run
        closing.append(autogen_wealth.close)
    result = compare(contestants, rounds=5)
    for close in closing:
        close()
    rows = []
    for one, least in (("ours, async", 25), ("ours", 60)):
        steps = Spread.of(found / AGENTS for found in result.rates[one])
        beside = Spread.of(found / AGENTS for found in result.rates["raw asyncio"])
        what = (
            f"wealth as messages, 1,000 agents, {'async' if one != 'ours' else 'plain'} handlers: steps / those of raw asyncio"
        )
        ratio = result.ratios(one, "raw asyncio")
        wanted = least / RAW_STEPS
        target = f"at least {wanted:.2f} ({least} steps a second where raw asyncio does {RAW_STEPS})"
        rows.append(Row(what, f"{ratio} ({steps} steps a second; {beside})", target, ratio.median >= wanted, ratio))
    for one, name, wanted in (("ours", "Pykka", 3.0), ("ours", "AutoGen Core", 8.0), ("ours, async", "ours", 0.4)):
        if name in result.rates:
            what = f"wealth as messages, 1,000 agents: {one} / {name}"
            rows.append(ratio_row(what, result, result.ratios(one, name), wanted))
    return rows


class RawWealth:
    """Tasks of raw asyncio on one loop, each with a queue."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.queues: list[asyncio.Queue[tuple[int, asyncio.Future[int] | None]]] = [asyncio.Queue() for _ in range(AGENTS)]
        self.tasks = [self.loop.create_task(self._hold(queue)) for queue in self.queues]

    async def _hold(self, queue: asyncio.Queue[tuple[int, asyncio.Future[int] | None]]) -> None:
        coins = 1
        while True:
            to, reply = await queue.get()
            if reply is None:
                coins += 1
                continue
            if coins:
                coins -= 1
                self.queues[to].put_nowait((0, None))
            reply.set_result(coins)

    def run(self) -> float:
        began = time.perf_counter()
        self.loop.run_until_complete(self._run())
        return AGENTS * STEPS / (time.perf_counter() - began)

    async def _run(self) -> None:
        for to in targets(STEPS):
            replies: list[asyncio.Future[int]] = [self.loop.create_future() for _ in self.queues]
            for queue, target, reply in zip(self.queues, to, replies, strict=True):
                queue.put_nowait((target, reply))
            await asyncio.gather(*replies)

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))
        self.loop.close()


class PykkaWealth:
    def __init__(self) -> None:
        pykka = peers.pykka

        class PykkaHolder(pykka.ThreadingActor):  # type: ignore[misc, name-defined, unused-ignore] # may be missing
            use_daemon_thread = True

            def __init__(self) -> None:
                super().__init__()
                self.coins = 1

            def on_receive(self, message: Any) -> int:
                if message is None:
                    self.coins += 1
                elif self.coins:
                    self.coins -= 1
                    message.tell(None)
                return self.coins

        self.holders = [PykkaHolder.start() for _ in range(AGENTS)]

    def run(self) -> float:
        began = time.perf_counter()
        for to in targets(STEPS):
            futures = [holder.ask(self.holders[to[n]], block=False) for n, holder in enumerate(self.holders)]
            for future in futures:
                future.get()
        return AGENTS * STEPS / (time.perf_counter() - began)

    def close(self) -> None:
        for holder in self.holders:
            holder.stop(block=False)


class AutoGenWealth:
    def __init__(self) -> None:
        self.autogen = peers.AutoGen()
        self.autogen.call(self._register)

    async def _register(self) -> None:
        await peers.AutoGenHolder.register(self.autogen.runtime, "holder", peers.AutoGenHolder)

    def run(self) -> float:
        began = time.perf_counter()
        self.autogen.call(self._run)
        return AGENTS * STEPS_OF_AUTOGEN / (time.perf_counter() - began)

    async def _run(self) -> None:
        for to in targets(STEPS_OF_AUTOGEN):
            await asyncio.gather(*(self.autogen.step(n, to[n]) for n in range(AGENTS)))

    def close(self) -> None:
        self.autogen.close()


NAMES = [f"a{number}" for number in range(AGENTS)]


def give(turn: Turn) -> None:
    if turn.view[turn.name]:
        turn.intend("move", source=turn.name, target=NAMES[turn.draw.below(AGENTS)], amount=1)


def as_intents(log: EventLog | None) -> tuple[float, float]:
    """Return turns a second of a whole simulation, and the seconds that its commits took."""
    spent = 0.0

    class Timed(resolvers.FirstCome):
        pass

    world = World(dict.fromkeys(NAMES, 1), log=log)
    commit = world.commit

    def timed_commit(*arguments: Any, **options: Any) -> Any:
        nonlocal spent
        began = time.perf_counter()
        try:
            return commit(*arguments, **options)
        finally:
            spent += time.perf_counter() - began

    world.commit = timed_commit  # type: ignore[method-assign] # to see where the time goes
    simulation = Simulation(world, NAMES, Graph.chain(give), mode=Mode.LOCKSTEP, resolver=Timed(), spans=0)
    seconds = simulation.run(LOGGED_STEPS).seconds
    assert sum(world.view().values()) == AGENTS
    world.close()
    return AGENTS * LOGGED_STEPS / seconds, spent / seconds


def beside_mesa() -> list[Row]:
    """A thousand agents, as logged intents and in memory; and as a plain Mesa model."""
    parts = []

    def logged() -> float:
        with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
            turns, part = as_intents(EventLog(Path(folder) / "run.db"))
        parts.append(part)
        return turns

    contestants = {"logged": logged, "in memory": lambda: as_intents(None)[0]}
    if mesa is not None:
        contestants["Mesa"] = _mesa
    found = compare(contestants, rounds=5)
    what = f"wealth as intents, 1,000 agents x {LOGGED_STEPS} steps, in turns"
    rows = [Row(what, f"{found}; {Spread.of(parts)} of it in commits")]
    for name, wanted in (("logged", 0.03), ("in memory", 0.03)):
        if mesa is not None:
            rows.append(ratio_row(f"{what}: {name} / Mesa", found, found.ratios(name, "Mesa"), wanted))
    return rows


def _mesa(agents: int = AGENTS, steps: int = LOGGED_STEPS) -> float:
    class Rich(mesa.Agent):  # type: ignore[misc, name-defined, unused-ignore] # may be missing
        def __init__(self, model: Any) -> None:
            super().__init__(model)
            self.wealth = 1

        def step(self) -> None:
            if self.wealth > 0:
                # From a list: an AgentSet would list all its agents at each draw.
                other = self.model.random.choice(self.model.everybody)
                other.wealth += 1
                self.wealth -= 1

    class Money(mesa.Model):  # type: ignore[misc, name-defined, unused-ignore] # as above
        def __init__(self) -> None:
            super().__init__()
            Rich.create_agents(self, agents)
            self.everybody = list(self.agents)

    model = Money()
    began = time.perf_counter()
    for _ in range(steps):
        model.agents.shuffle_do("step")
    return agents * steps / (time.perf_counter() - began)


@for_all
def give_all(turn: ColumnTurn) -> None:
    rich = turn["coins"] > 0
    to = turn.draw.below(len(turn), where=rich)
    turn.intend("move", where=rich, source=turn.keys("coins"), target=turn.keys("coins", to), amount=1)


def as_columns(agents: int, steps: int, log: EventLog) -> float:
    """Return turns a second of a simulation whose agents are a column."""
    people = AgentGroup("person", agents)
    with World({"coins": people.column(1)}, log=log) as world:
        seconds = Simulation(world, [people], Graph.chain(give_all), spans=0).run(steps).seconds
        assert world.view()["coins"].array.sum() == agents
    return agents * steps / seconds


def columns_beside_mesa() -> list[Row]:
    """A thousand and ten thousand agents in columns with a log, and as a plain Mesa model, in turns."""
    rows = []
    for agents, steps in ((1_000, 200), (10_000, 50)):
        ours, theirs = [], []
        for _ in range(5):
            with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
                ours.append(as_columns(agents, steps, EventLog(Path(folder) / "run.db")))
            if mesa is not None:
                theirs.append(_mesa(agents, steps))
        figure = f"{rate(median(ours))} turns, {rate(min(ours))} to {rate(max(ours))}"
        if not theirs:
            rows.append(Row(f"wealth in columns, logged, {agents:,} agents x {steps} steps", figure))
            continue
        found = Comparison({"ours": ours, "Mesa": theirs})
        what = f"wealth in columns, logged, {agents:,} agents x {steps} steps"
        rows.append(ratio_row(what, found, found.ratios("ours", "Mesa"), 1))
    return rows


def large() -> list[Row]:
    """A hundred thousand agents in columns, a hundred rounds, logged: seconds, memory and bytes."""
    with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
        path = Path(folder) / "run.db"
        began = time.perf_counter()
        as_columns(100_000, 100, EventLog(path))
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        began = time.perf_counter()
        with World(log=EventLog(path)) as world:
            people = AgentGroup("person", 100_000)
            Simulation(world, [people], Graph.chain(give_all), spans=0).resume(101)
        resumed = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    figure = f"{seconds:.1f} s, at most {memory:.0f} MiB; log {size / 1e7:.1f} bytes a turn; resume {resumed:.1f} s"
    return [
        Row("wealth in columns, logged, 100,000 agents x 100 steps", figure, "60 s and 2 GiB", seconds < 60 and memory < 2048)
    ]


def simulations() -> Iterator[Row]:
    for part in (large, beside_mesa, columns_beside_mesa):
        yield from part()
