"""The resolver that rations a scarce key, and the rules that divide an amount. The rules are pure and exact in whole units."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, choice
from coterie.world.intent import Intent
from coterie.world.resolvers.actions import amount_of, key_of, taken
from coterie.world.resolvers.resolution import Resolution, Resolver, cut, granted, refused
from coterie.world.resolvers.taking_turns import FirstCome

Share: TypeAlias = Callable[[Sequence[float], float, Random], list[float]]
"""Takes the requested amounts, the available amount and a random stream; returns the shares. A share never exceeds its
request, and the shares add up to the smaller of total request and available amount. Whole numbers stay whole; units that do
not divide are drawn from the stream, so that no name is favoured."""


class Sharing(enum.StrEnum):
    """The rules for dividing a scarce amount."""

    PROPORTIONAL = "proportional"
    """In proportion to the requests."""
    EQUAL = "equal"
    """Equal shares, limited by the requests."""
    LOTTERY = "lottery"
    """In random order, each in full, until nothing is left."""
    FIRST_COME = "first-come"
    """In the order of the intents, each in full, until nothing is left."""


def proportional(asked: Sequence[float], available: float, random: Random) -> list[float]:
    """Divide in proportion to the requests; whole units by the method of largest remainders, whose ties are drawn."""
    total = _total(asked)
    if not _whole(asked, available):
        return _spent(asked, _in_proportion(asked, available), available)
    if total <= available:
        return list(asked)
    units, whole = [int(amount) for amount in asked], int(available)
    everything = sum(units)
    shares = [amount * whole // everything for amount in units]
    rest = whole - sum(shares)
    if rest:
        places = list(range(len(units)))
        random.shuffle(places)
        for place in sorted(places, key=lambda place: -(units[place] * whole % everything))[:rest]:
            shares[place] += 1
    return list(shares)


def equal(asked: Sequence[float], available: float, random: Random) -> list[float]:
    """Divide into equal shares, limited by the requests (max-min fairness); the units that are left over are drawn."""
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
    portion, rest = divmod(left, max(1, len(hungry)))
    lucky = set(random.sample(hungry, int(rest))) if rest else set()
    for place in hungry:
        shares[place] = portion + (place in lucky)
    return shares


def lottery(asked: Sequence[float], available: float, random: Random) -> list[float]:
    """Serve the requests in random order, each in full, until nothing is left."""
    order = list(range(len(asked)))
    random.shuffle(order)
    return _serve(asked, available, order)


def first_come(asked: Sequence[float], available: float, random: Random) -> list[float]:  # noqa: ARG001 - needs none
    """Serve the requests in their order, each in full, until nothing is left."""
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
    # Divide first: the product could overflow or underflow.
    return [available * (part / total) for part in parts]


def _spent(asked: Sequence[float], shares: Sequence[float], available: float) -> list[float]:
    """Return fractions that can be subtracted one by one without a rounding rest and without going below 0.

    The last request that wants more gets the rounding rest.
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


class Rationing:
    """Divides one key among all intents that ``take`` from it, in proportion to their amounts, or by another rule.

    ::

        world.commit(intents, resolver=resolvers.Rationing("lake", into="basket/{agent}"))

    A ``take`` without a key takes from this one; the granted amount is added to `into`, if it or the intent names a key.
    After that, the resolver `otherwise` (by default `FirstCome`) decides all other intents.
    """

    def __init__(
        self,
        key: str,
        *,
        into: str | None = None,
        sharing: Sharing | str = Sharing.PROPORTIONAL,
        otherwise: Resolver | None = None,
    ) -> None:
        check_instance("Rationing.key", key, str, "the key that is rationed")
        check_instance("Rationing.into", into, (str, type(None)), 'a key, such as "basket/{agent}"')
        check_instance("Rationing.otherwise", otherwise, (Callable, type(None)), "a resolver")  # type: ignore[arg-type] # an abstract class will do
        try:
            (into or "").format(agent="")
        except (LookupError, ValueError) as error:
            raise InvalidSetting(
                "Rationing.into", into, 'a key, in which only {agent} is filled in: "basket/{agent}"'
            ) from error
        self.key = key
        self.into = into
        self.sharing = choice("Rationing.sharing", sharing, Sharing)
        self.otherwise = otherwise if otherwise is not None else FirstCome()

    def __repr__(self) -> str:
        return f"Rationing({self.key!r}, sharing={self.sharing.value!r})"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one resolution for each intent: first those that take, then the others."""
        there = view.get(self.key, 0)
        if there.__class__ not in (int, float):
            # Refuse all takers, as every intent that adds to a value that is not a number.
            there = None
        takers = [each for each in intents if each.action == "take" and key_of(each, default=self.key) == self.key]
        mine = set(map(id, takers))
        others = [each for each in intents if id(each) not in mine]
        if there is None:
            decisions = [refused(each, f"{self.key} is not a number") for each in takers]
            return [*decisions, *self.otherwise(view, others, random)]
        asked = [0 if isinstance(amount := amount_of(each), str) else amount for each in takers]
        shares = RULES[self.sharing](asked, max(0, there), random)
        decisions = [self._decide(view, *each) for each in zip(takers, asked, shares, strict=True)]
        if others:
            changed: dict[str, Any] = {}
            for decision in decisions:
                for key, change in decision.effects.adds.items():
                    changed[key] = changed.get(key, view.get(key, 0)) + change
            decisions += self.otherwise(_After(view, changed), others, random)
        return decisions

    def _decide(self, view: Mapping[str, Any], intent: Intent, asked: float, got: float) -> Resolution:
        if isinstance(problem := amount_of(intent), str):
            return refused(intent, problem)
        into = key_of(intent, "into", self.into.format(agent=intent.agent) if self.into is not None else None)
        if into is not None and view.get(into, 0).__class__ not in (int, float):
            return refused(intent, f"{into} is not a number")
        effects = taken(self.key, into, got)
        if got == asked:
            return granted(intent, effects, amount=got)
        if got <= 0:
            return refused(intent, f"nothing is left of {self.key}", asked=asked)
        return cut(intent, effects, f"{self.key} is shared out", amount=got, asked=asked)


class _After(Mapping[str, Any]):
    """A view in which some keys have changed."""

    def __init__(self, view: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        self._view = view
        self._changed = changed

    def __getitem__(self, key: str) -> Any:
        return self._changed[key] if key in self._changed else self._view[key]

    def __iter__(self) -> Any:
        return iter(sorted({*self._view, *self._changed}))

    def __len__(self) -> int:
        return len({*self._view, *self._changed})
