"""The fishing commons in forty lines: five fishers request allowed amounts, and the outcome is known."""

from collections.abc import Callable

from coterie.rounds import Closing, Graph, Simulation, Turn, per_agent
from coterie.world import World, resolvers


@per_agent
def fish(turn: Turn) -> None:
    turn.intend("take", amount=turn.agent(turn.view["lake"]))


def settle(closing: Closing) -> None:
    left = closing.view["lake"]
    if left < 5:
        closing.stop("collapse")
    else:
        closing.set("lake", min(100, 2 * left))


def always(amount: int) -> Callable[[int], int]:
    return lambda _: amount


def tenth(stock: int) -> int:
    return stock // 10


CREWS = {
    "10 each": [always(10)] * 5,
    "11 each": [always(11)] * 5,
    "12 each": [always(12)] * 5,
    "20 each": [always(20)] * 5,
    "one greedy": [tenth] * 4 + [always(20)],
}

for name, crew in CREWS.items():
    fishers = {f"fisher-{number}": rule for number, rule in enumerate(crew, start=1)}
    lake = resolvers.Rationing("lake", into="basket/{agent}")
    result = Simulation(World({"lake": 100}), fishers, Graph.chain(fish), resolver=lake, settle=settle).run(rounds=12)
    ends = f"collapse in month {result.rounds}" if result.stopped else f"{result.rounds} months, no collapse"
    print(f"{name}: {ends}, harvest {sum(result.view.under('basket/').values())}")
