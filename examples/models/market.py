"""A double auction with zero-intelligence traders (Gode and Sunder, Journal of Political Economy 101, 1993).

Buyers bid at random below their value, sellers ask at random above their cost, and the best bid meets the best ask. Without any
intelligence the market earns nearly all that can be earned, at prices near the equilibrium.
"""

from random import Random
from statistics import mean

from coterie.rounds import Gathering, Graph, Simulation, Turn, together
from coterie.world import View, World

TRADERS, HIGHEST = 40, 100


def quote(turn: Turn) -> None:
    """Bid or ask for one unit, without a loss."""
    if turn.view[f"traded/{turn.name}"]:
        return
    limit = turn.view[f"limit/{turn.name}"]
    buys = turn.name.startswith("buyer")
    price = turn.random.randint(1, limit) if buys else turn.random.randint(limit, HIGHEST)
    turn.intend("set", key=f"quote/{turn.name}", value=price)


def clear(gathering: Gathering) -> None:
    """Let the best bid meet the best ask, if they cross, at a price between them."""
    view = gathering.view
    quotes = {name: price for name, price in view.under("quote/").items() if not view[f"traded/{name}"]}
    order = sorted(quotes)
    gathering.random.shuffle(order)  # ties go by the seed
    bids = [name for name in order if name.startswith("buyer")]
    asks = [name for name in order if name.startswith("seller")]
    if bids and asks:
        buyer, seller = max(bids, key=quotes.__getitem__), min(asks, key=quotes.__getitem__)
        if quotes[buyer] >= quotes[seller]:
            price = (quotes[buyer] + quotes[seller]) / 2
            for name in (buyer, seller):
                gathering.intend("set", key=f"traded/{name}", value=price)


def start(seed: int) -> dict[str, int]:
    """Return limits: the values of buyers and the costs of sellers."""
    chance = Random(seed)  # noqa: S311 - not for secrets
    names = [f"{kind}-{number:02}" for kind in ("buyer", "seller") for number in range(TRADERS // 2)]
    return {f"limit/{name}": chance.randint(10, HIGHEST - 10) for name in names} | {f"traded/{name}": 0 for name in names}


def possible(view: View) -> tuple[int, float]:
    """Return the largest surplus, and the equilibrium price: between the last pair that gains and the next."""
    limits = view.under("limit/")
    values = sorted((limit for name, limit in limits.items() if name.startswith("buyer")), reverse=True)
    costs = sorted(limit for name, limit in limits.items() if name.startswith("seller"))
    pairs = [(value, cost) for value, cost in zip(values, costs, strict=True) if value >= cost]
    return sum(value - cost for value, cost in pairs), mean(pairs[-1])


def run(seed: int = 1, rounds: int = 150) -> tuple[float, float, float]:
    """Return the part of the possible surplus that was earned, the mean price, and the equilibrium price."""
    world = World(start(seed))
    names = list(world.view().under("limit/"))
    view = Simulation(world, names, Graph.chain(quote, together(clear)), seed=seed, spans=0).run(rounds).view
    prices = {name: price for name, price in view.under("traded/").items() if price}
    signs = {name: 1 if name.startswith("buyer") else -1 for name in prices}
    earned = sum(signs[name] * view[f"limit/{name}"] for name in prices)
    most, equilibrium = possible(view)
    return earned / most, mean(prices.values()), equilibrium


if __name__ == "__main__":
    efficiency, price, equilibrium = run()
    print(f"efficiency {efficiency:.0%}, mean price {price:.0f}, equilibrium {equilibrium:.0f}")
