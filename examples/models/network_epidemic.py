"""An epidemic on a network: the part that falls ill is the solution of R = 1 - exp(-c p R).

People meet their contacts in a random graph with c contacts each (Newman, "Spread of epidemic disease on networks", 2002); an ill
person infects each with probability p, and is immune a day later.
"""

from math import exp
from random import Random

from coterie.rounds import Graph, Simulation, Turn, commit
from coterie.world import World, resolvers
from coterie.world.spaces import Network

PEOPLE, CONTACTS, INFECTS = 500, 8, 0.25


def contacts(seed: int) -> Network:
    """Return a random graph: each pair is linked with the same probability."""
    chance = Random(seed)  # noqa: S311 - not for secrets
    near: dict[str, list[str]] = {f"person-{number:03}": [] for number in range(PEOPLE)}
    names = list(near)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if chance.random() < CONTACTS / (PEOPLE - 1):
                near[one].append(other)
                near[other].append(one)
    return Network(near)


def run(seed: int = 1, days: int = 30) -> float:
    """Return the part of the people that fell ill."""
    network = contacts(seed)

    def meet(turn: Turn) -> None:
        if turn.view[f"health/{turn.name}"] == "ill":
            for other in network.near(turn.name):
                if turn.view[f"health/{other}"] == "well" and turn.random.random() < INFECTS:
                    turn.intend("set", key=f"health/{other}", value="falling ill")

    def recover(turn: Turn) -> None:
        now = turn.view[f"health/{turn.name}"]
        if now in ("ill", "falling ill"):
            turn.intend("set", key=f"health/{turn.name}", value="immune" if now == "ill" else "ill")

    first = set(Random(seed).sample(network.nodes, 5))  # noqa: S311 - not for secrets
    world = World({f"health/{name}": "ill" if name in first else "well" for name in network.nodes})
    names = [str(node) for node in network.nodes]
    graph = Graph.chain(meet, commit, recover)
    # Two may infect one person on the same day: equal values agree.
    simulation = Simulation(world, names, graph, seed=seed, resolver=resolvers.Merge(), spans=0)
    simulation.run(days, lambda result: None if "ill" in result.view.values() else simulation.stop("nobody is ill"))
    return float(sum(health != "well" for health in world.view().values()) / PEOPLE)


def expected() -> float:
    """Return the solution of R = 1 - exp(-c p R), by iteration."""
    part = 0.5
    for _ in range(100):
        part = 1 - exp(-CONTACTS * INFECTS * part)
    return part


if __name__ == "__main__":
    print(f"fell ill: {run():.2f}, expected {expected():.2f}")
