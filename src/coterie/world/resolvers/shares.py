"""How what there is gets shared out when more is asked for. Pure; exact in whole units."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

Share: TypeAlias = Callable[[Sequence[float], float, Random], list[float]]
"""Takes what each asks for, what there is, and a random stream; returns what each gets: never more than it asked for,
and in all exactly the smaller of what is asked for and what there is. Who comes first in the sequence wins ties. Whole
numbers stay whole."""


class Sharing(enum.StrEnum):
    """The rules by which too little is shared out."""

    PROPORTIONAL = "proportional"
    """In proportion to what is asked for."""
    EQUAL = "equal"
    """All the same, as far as they ask for it."""
    LOTTERY = "lottery"
    """In random order, each in full, until nothing is left."""
    FIRST_COME = "first-come"
    """In the order of the intents, each in full, until nothing is left."""


def proportional(asked: Sequence[float], available: float, random: Random) -> list[float]:  # noqa: ARG001 - needs none
    """Share in proportion to what is asked for; whole units by the method of largest remainders."""
    total = sum(asked)
    if total <= available:
        return list(asked)
    if not _whole(asked, available):
        return [amount * available / total for amount in asked]
    units, whole = [int(amount) for amount in asked], int(available)
    everything = sum(units)
    shares = [amount * whole // everything for amount in units]
    remainders = sorted(range(len(units)), key=lambda place: -(units[place] * whole % everything))
    for place in remainders[: whole - sum(shares)]:
        shares[place] += 1
    return list(shares)


def equal(asked: Sequence[float], available: float, random: Random) -> list[float]:  # noqa: ARG001 - needs none
    """Give all the same, as far as they ask for it: nobody gets less so that somebody may get more."""
    if sum(asked) <= available:
        return list(asked)
    shares: list[float] = [0] * len(asked)
    left = available
    hungry = sorted(range(len(asked)), key=lambda place: asked[place])
    while hungry and asked[hungry[0]] * len(hungry) <= left:
        place = hungry.pop(0)
        shares[place] = asked[place]
        left -= asked[place]
    if not _whole(asked, available):
        for place in hungry:
            shares[place] = left / len(hungry)
        return shares
    # What does not divide goes to those who come first.
    portion, rest = divmod(left, max(1, len(hungry)))
    for number, place in enumerate(sorted(hungry)):
        shares[place] = portion + (number < rest)
    return shares


def lottery(asked: Sequence[float], available: float, random: Random) -> list[float]:
    """Serve all in random order, each in full, until nothing is left."""
    order = list(range(len(asked)))
    random.shuffle(order)
    return _serve(asked, available, order)


def first_come(asked: Sequence[float], available: float, random: Random) -> list[float]:  # noqa: ARG001 - needs none
    """Serve all in their order, each in full, until nothing is left."""
    return _serve(asked, available, range(len(asked)))


def _serve(asked: Sequence[float], available: float, order: Sequence[int]) -> list[float]:
    shares: list[float] = [0] * len(asked)
    for place in order:
        shares[place] = min(asked[place], available)
        available -= shares[place]
    return shares


def _whole(asked: Sequence[float], available: float) -> bool:
    return isinstance(available, int) and all(isinstance(amount, int) for amount in asked)


RULES: dict[Sharing, Share] = {
    Sharing.PROPORTIONAL: proportional,
    Sharing.EQUAL: equal,
    Sharing.LOTTERY: lottery,
    Sharing.FIRST_COME: first_come,
}
"""By name."""
