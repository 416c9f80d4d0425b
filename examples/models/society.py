"""A society of twenty minds on one lake: they propose laws, a judge decides, and the law in force shapes what all can do.

Each mind is an object with a memory. Its `decide` may as well ask a language model; it is awaited on the mind's own thread.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from coterie.rounds import Closing, Gathering, Graph, Result, Simulation, Turn, together
from coterie.world import Intent, View, World, resolvers
from coterie.world.resolvers import Resolution, Resolver

MINDS, CAPACITY = 20, 400


class Mind:
    """Wants more when others get more, and proposes a quota once the lake shrinks."""

    def __init__(self, greed: float, *, civic: bool) -> None:
        self.greed, self.civic = greed, civic
        self.seen: list[int] = []

    async def reflect(self, turn: Turn) -> None:
        """Remember the stock, and propose a law if it falls."""
        self.seen.append(turn.view["lake"])
        if self.civic and len(self.seen) > 1 and self.seen[-1] < self.seen[-2]:
            turn.propose("quota", most=self.seen[-1] // (2 * MINDS))

    async def decide(self, turn: Turn) -> None:
        """Fish a fair share times the own greed, and a little more if a neighbour has more."""
        mine = turn.view.get(f"fish/{turn.name}", 0)
        envy = any(turn.view.get(f"fish/{name}", 0) > mine for name in turn.everyone.without(turn.name).sample(3))
        turn.intend("take", amount=int(self.greed * turn.view["lake"] / (2 * MINDS)) + envy)

    def snapshot(self) -> list[int]:
        return self.seen

    def restore(self, state: list[int]) -> None:
        self.seen = list(state)


def judge(gathering: Gathering) -> None:
    """Accept the strictest proposal that leaves everyone something; the law of last year ends with it."""
    sound = [each for each in gathering.proposals if each.parameters["most"] >= 1]
    for each in sorted(sound, key=lambda each: (each.parameters["most"], each.agent))[:1]:
        gathering.accept(each, "the lake must feed us next year")


def quota(resolver: Resolver, law: Mapping[str, Any]) -> Resolver:
    """Return the resolver under a law: nobody takes more than `most`."""

    def decide(view: View, intents: Sequence[Intent], random: Random) -> Sequence[Resolution]:
        lawful = [each for each in intents if each.arguments["amount"] <= law["most"]]
        rest = [resolvers.refused(each, "over the quota") for each in intents if each.arguments["amount"] > law["most"]]
        return [*resolver(view, lawful, random), *rest]

    return decide  # type: ignore[return-value] # a function is a resolver


def grow(closing: Closing) -> None:
    closing.set("lake", min(CAPACITY, 2 * closing.view["lake"]))
    if closing.view["lake"] < MINDS:
        closing.stop("the lake is empty")


def run(seed: int = 1, years: int = 20, civic: int = 5) -> Result:
    chance = Random(seed)  # noqa: S311 - not for secrets
    minds = {f"mind-{number:02}": Mind(chance.uniform(0.8, 1.6), civic=number < civic) for number in range(MINDS)}
    lake = resolvers.Rationing("lake", into="fish/{agent}")
    graph = Graph.chain("reflect", together(judge), "decide")
    simulation = Simulation(
        World({"lake": CAPACITY}), minds, graph, seed=seed, resolver=lake, settle=grow, mechanisms={"quota": quota}
    )
    return simulation.run(years)


if __name__ == "__main__":
    for civic in (0, 5):
        result = run(civic=civic)
        caught = sum(result.view.under("fish/").values())
        print(f"{civic} lawmakers: {result.rounds} years, {caught} fish, {result.stopped or 'the lake lives'}")
