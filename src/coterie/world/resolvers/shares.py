"""How what there is gets shared out when more is asked for. Pure; exact in whole units."""

from __future__ import annotations

import enum
import math
import sys
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
    total = _total(asked)
    if not _whole(asked, available):
        return _spent(asked, _in_proportion(asked, available), available)
    if total <= available:
        return list(asked)
    units, whole = [int(amount) for amount in asked], int(available)
    everything = sum(units)
    shares = [amount * whole // everything for amount in units]
    remainders = sorted(range(len(units)), key=lambda place: -(units[place] * whole % everything))
    for place in remainders[: whole - sum(shares)]:
        shares[place] += 1
    return list(shares)


def equal(asked: Sequence[float], available: float, random: Random) -> list[float]:  # noqa: ARG001 - needs none
    """Give all the same, as far as they ask for it: nobody gets less so that somebody may get more."""
    if _total(asked) <= available:
        return list(asked) if _whole(asked, available) else _spent(asked, asked, available)
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
        return _spent(asked, shares, available)
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
    left = available
    for place in order:
        shares[place] = min(asked[place], left)
        left -= shares[place]
    return shares if _whole(asked, available) else _spent(asked, shares, available)


def _in_proportion(asked: Sequence[float], available: float) -> list[float]:
    total = _total(asked)
    if total <= available:
        return list(asked)
    if math.isinf(total):
        largest = max(asked)
        parts = [amount / largest for amount in asked]
    else:
        parts = list(asked)
    total = _total(parts)
    # Not multiplied first: the product may be more, or less, than a float can be.
    return [available * (part / total) for part in parts]


def _spent(asked: Sequence[float], shares: Sequence[float], available: float) -> list[float]:
    """Return fractions so that taking them one after the other leaves nothing that rounding has made, and never less than 0.

    Who comes last of those that want more gets what rounding has left.
    """
    spent: list[float] = []
    left = available
    for share, amount in zip(shares, asked, strict=True):
        spent.append(min(share, amount, left))
        left -= spent[-1]
    short = [place for place, share in enumerate(spent) if share < asked[place]]
    if short and 0 < left <= max(1e-9 * available, sys.float_info.min):
        place = short[-1]
        spent[place] = min(asked[place], spent[place] + left)
        return _spent(asked, spent, available) if _left(spent, available) < 0 else spent
    return spent


def _total(amounts: Sequence[float]) -> float:
    """Return the exact sum, rounded once. That of `sum` depends on the version of Python."""
    if all(isinstance(amount, int) for amount in amounts):
        return sum(amounts)
    try:
        return math.fsum(amounts)
    except OverflowError:
        return math.inf


def _left(shares: Sequence[float], available: float) -> float:
    for share in shares:
        available -= share
    return available


def _whole(asked: Sequence[float], available: float) -> bool:
    return isinstance(available, int) and all(isinstance(amount, int) for amount in asked)


RULES: dict[Sharing, Share] = {
    Sharing.PROPORTIONAL: proportional,
    Sharing.EQUAL: equal,
    Sharing.LOTTERY: lottery,
    Sharing.FIRST_COME: first_come,
}
"""By name."""
