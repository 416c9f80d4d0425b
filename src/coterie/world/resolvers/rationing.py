"""The resolver that rations a scarce key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, choice
from coterie.world.intent import Intent
from coterie.world.resolvers.actions import amount_of, key_of, taken
from coterie.world.resolvers.contract import Resolver
from coterie.world.resolvers.resolution import Resolution, cut, granted, refused
from coterie.world.resolvers.shares import RULES, Sharing
from coterie.world.resolvers.taking_turns import FirstCome


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
