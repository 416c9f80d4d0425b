"""A small commons that the tests of rounds share."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from coterie.rounds import Closing, Gathering, Graph, Mode, Simulation, Turn, together
from coterie.world import Intent, World, resolvers

NAMES = ("ada", "ben", "cleo", "dag", "esi")


class Fisher:
    """Remembers, proposes, and takes its time."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.turns = 0
        self.seen: list[int] = []

    async def look(self, turn: Turn) -> int:
        if self.delay:
            await asyncio.sleep(random.random() * self.delay)
        self.turns += 1
        if self.turns % 3 == 0:
            turn.propose("quota", most=8 + self.turns)
        return int(turn.view["lake"])

    def fish(self, turn: Turn) -> None:
        if self.delay:
            time.sleep(random.random() * self.delay / 2)
        self.seen = [*self.seen, turn.inputs["look"]][-5:]
        turn.intend("take", amount=turn.random.randrange(30) + self.turns % 2 + sum(self.seen) % 3)

    def snapshot(self) -> Any:
        return [self.turns, self.seen]

    def restore(self, state: Any) -> None:
        self.turns, self.seen = state


def judge(gathering: Gathering) -> None:
    for proposal in gathering.proposals:
        if gathering.random.random() < 0.7:
            gathering.accept(proposal, "why not")
        else:
            gathering.reject(proposal, "not today")


class Quota:
    """Refuses who asks for more than `most`."""

    def __init__(self, resolver: resolvers.Resolver, parameters: Mapping[str, Any]) -> None:
        self.resolver = resolver
        self.most = parameters["most"]

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], chance: Any) -> list[resolvers.Resolution]:
        within = [each for each in intents if each.arguments["amount"] <= self.most]
        beyond = [each for each in intents if each.arguments["amount"] > self.most]
        return [*self.resolver(view, within, chance), *(resolvers.refused(each, "over the quota") for each in beyond)]


def settle(closing: Closing) -> None:
    closing.set("lake", min(100, closing.view["lake"] * 2 + 1))


def simulation(mode: Mode | str, world: World | None = None, *, delay: float = 0.0, **options: Any) -> Simulation:
    """Return a simulation of the commons."""
    return Simulation(
        world if world is not None else World({"lake": 100}),
        {name: Fisher(delay) for name in NAMES},
        Graph.chain("look", together(judge), "fish"),
        mode=mode,
        resolver=resolvers.Rationing("lake", into="basket/{agent}"),
        settle=settle,
        mechanisms={"quota": Quota},
        **{"seed": 3, **options},
    )
