"""Agents of simulations that are hosted on nodes of this process, and a simulation that nodes build for themselves."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from coterie import Agent, AgentRef
from coterie.rounds import Graph, Simulation, Turn, per_agent
from coterie.rounds.carrying import SAME
from coterie.world import World

MEETING = threading.Barrier(4)
GOES_ON = threading.Event()


class Meeter:
    """Blocks its thread until four agents do the stage at the same time."""

    def meet(self, turn: Turn) -> None:
        MEETING.wait(20.0)
        turn.intend("set", key=f"met/{turn.name}", value=True)


class Quick:
    """Lets the slow ones go on, in its second stage."""

    def first(self, turn: Turn) -> None:
        """Do nothing."""

    def second(self, turn: Turn) -> None:
        GOES_ON.set()


class Slow:
    """Ends its first stage once a quick agent has ended its own."""

    async def first(self, turn: Turn) -> None:
        while not GOES_ON.is_set():
            await asyncio.sleep(0.005)
        turn.intend("set", key="went on", value=True)

    def second(self, turn: Turn) -> None:
        """Do nothing."""


class Counting:
    """Counts its turns, and never ends one of them."""

    def __init__(self, endless: int = 0, name: str = "") -> None:
        self.turns = 0
        self.endless = endless
        self.name = name

    async def count(self, turn: Turn) -> None:
        self.turns += 1
        turn.intend("set", key=f"turns/{turn.name}", value=self.turns)
        if turn.round == self.endless and turn.name == self.name:
            await asyncio.sleep(1_000)

    def snapshot(self) -> Any:
        return {"turns": self.turns}

    def restore(self, state: Any) -> None:
        self.turns = state["turns"]


class Idle(Counting):
    """Has a state that never changes."""

    async def count(self, turn: Turn) -> None:
        turn.intend("add", key="idle", amount=1)


class Heavy:
    """Hands a large value from one stage to the next."""

    def first(self, turn: Turn) -> str:
        return turn.name[-1] * 400_000

    def second(self, turn: Turn) -> None:
        turn.intend("set", key=turn.name, value=len(turn.inputs["first"]))


class Wrong:
    def __init__(self) -> None:
        raise ValueError("it cannot be made")

    def count(self, turn: Turn) -> None:
        """Do nothing."""


class Home(Agent):
    """Is there."""


class Run:
    """The run of `herd`, as a node has it."""

    names = SAME

    def __init__(self) -> None:
        self.plan = herd().plan

    def close(self) -> None:
        """Close nothing."""


def opened(home: AgentRef) -> Run:
    return Run()


def herd() -> Simulation:
    """Return a simulation of sheep that are born and die; its stages are a method and a function."""

    @per_agent
    def breed(turn: Turn) -> None:
        if turn.random.random() < 0.3:
            turn.bear("sheep", {"food/{name}": 1} if turn.round > 100 else None)
        if turn.random.random() < 0.2:
            turn.die()
        if turn.random.random() < 0.2:
            raise ValueError(turn.name)
        turn.intend("add", key="grass", amount=-int(turn.agent.turns))

    agents = {f"sheep-{number}": Counting() for number in range(6)}
    return Simulation(World({"grass": 1_000}), agents, Graph.chain("count", breed), seed=5, born=lambda _: Counting())
