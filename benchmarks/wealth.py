"""Boltzmann wealth: everybody who has a coin gives one to somebody, drawn at random; as messages, and as logged intents."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.harness import Row, compare, rate
from coterie import Agent, AgentRef, Message, Request, Runtime, on
from coterie.rounds import Graph, Mode, Simulation, Turn
from coterie.world import EventLog, World, resolvers

try:
    import mesa
except ImportError:
    mesa = None

AGENTS = 1_000
STEPS = 20
LOGGED_STEPS = 100


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


class Ours:
    def __init__(self) -> None:
        self.runtime = Runtime(ask_timeout=None)
        self.holders = [self.runtime.spawn(Holder) for _ in range(AGENTS)]

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
    contestants: dict[str, Any] = {"ours": ours.run}
    closing: list[Any] = [ours.runtime.stop]
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
    for name, wanted in (("Pykka", 3.0), ("AutoGen Core", 8.0)):
        if name in result.rates:
            ratio = result.ratio("ours", name)
            rows.append(
                Row(
                    f"wealth as messages, 1,000 agents: {rate(result.median('ours'))} turns, {name} {rate(result.median(name))}",
                    f"{ratio:.1f} times",
                    f"at least {wanted:g} times",
                    ratio >= wanted,
                )
            )
    return rows


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
        return AGENTS * STEPS / (time.perf_counter() - began)

    async def _run(self) -> None:
        for to in targets(STEPS):
            await asyncio.gather(*(self.autogen.step(n, to[n]) for n in range(AGENTS)))

    def close(self) -> None:
        self.autogen.close()


NAMES = [f"a{number}" for number in range(AGENTS)]


def give(turn: Turn) -> None:
    if turn.view[turn.name]:
        turn.intend("move", source=turn.name, target=NAMES[turn.random.randrange(AGENTS)], amount=1)


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
    """A thousand agents, a hundred steps, as logged intents; and as a plain Mesa model."""
    with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
        ours, part = as_intents(EventLog(Path(folder) / "run.db"))
    rows = [Row("wealth as logged intents, 1,000 agents x 100 steps", f"{rate(ours)} turns; {part:.0%} of it in commits")]
    if mesa is None:
        return rows
    theirs = sorted(_mesa() for _ in range(3))[1]
    ratio = ours / theirs
    return [*rows, Row(f"… beside Mesa, {rate(theirs)}", f"{ratio:.3f}", "at least 0.03", ratio >= 0.03)]


def _mesa() -> float:
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
            Rich.create_agents(self, AGENTS)
            self.everybody = list(self.agents)

    model = Money()
    began = time.perf_counter()
    for _ in range(LOGGED_STEPS):
        model.agents.shuffle_do("step")
    return AGENTS * LOGGED_STEPS / (time.perf_counter() - began)


def all_rows() -> list[Row]:
    return messages() + beside_mesa()
