"""How what there is gets shared out when more is asked for. Pure, exact, in whole units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

Share: TypeAlias = Callable[[Mapping[str, int], int, Random], dict[str, int]]
"""Takes what each asks for, what there is, and a random stream; returns what each gets: never more than it asked for,
and in all exactly the smaller of what is asked for and what there is. Who comes first in the mapping wins ties."""


def proportional(asked: Mapping[str, int], available: int, random: Random) -> dict[str, int]:  # noqa: ARG001 - needs none
    """Share in proportion to what is asked for, by the method of largest remainders."""
    total = sum(asked.values())
    if total <= available:
        return dict(asked)
    shares = {name: amount * available // total for name, amount in asked.items()}
    remainders = sorted(asked, key=lambda name: -(asked[name] * available % total))
    for name in remainders[: available - sum(shares.values())]:
        shares[name] += 1
    return shares


def equal(asked: Mapping[str, int], available: int, random: Random) -> dict[str, int]:  # noqa: ARG001 - needs none
    """Give all the same, as far as they ask for it: nobody gets less so that somebody may get more."""
    shares = dict.fromkeys(asked, 0)
    left = min(available, sum(asked.values()))
    while left:
        hungry = [name for name in asked if shares[name] < asked[name]]
        portion = max(1, left // len(hungry))
        for name in hungry:
            given = min(portion, asked[name] - shares[name], left)
            shares[name] += given
            left -= given
    return shares


def lottery(asked: Mapping[str, int], available: int, random: Random) -> dict[str, int]:
    """Serve all in random order, each in full, until nothing is left."""
    shares = dict.fromkeys(asked, 0)
    order = list(asked)
    random.shuffle(order)
    for name in order:
        shares[name] = min(asked[name], available)
        available -= shares[name]
    return shares


RULES: dict[str, Share] = {"proportional": proportional, "equal": equal, "lottery": lottery}
"""The rules by the names that scenarios use."""
