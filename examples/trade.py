"""Random trade with conflicts: agents compete for purses, and the number of coins never changes."""

from collections import Counter

from coterie.rounds import Graph, Mode, Simulation, Turn
from coterie.world import World, resolvers

NAMES = [f"trader-{number}" for number in range(20)]


def trade(turn: Turn) -> None:
    for _ in range(3):
        source, target = turn.random.sample(NAMES, 2)
        turn.intend("move", source=source, target=target, amount=turn.random.randrange(3))


for mode in Mode:
    world = World(dict.fromkeys(NAMES, 2))
    result = Simulation(world, NAMES, Graph.chain(trade), mode=mode, seed=5, resolver=resolvers.Lottery()).run(rounds=20)
    ends = Counter(event.kind for event in world.history() if event.action == "move")
    coins = [result.view[name] for name in NAMES]
    print(f"{mode}: {sum(coins)} coins, the poorest has {min(coins)}, refused: {ends['refused'] > 0}")
