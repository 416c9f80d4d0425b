"""One intent after the other, each on what the ones before it have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from coterie.world.intent import Intent
from coterie.world.resolvers.actions import ACTIONS, FLOORED, Action, effects_of, functions, key_of, taken
from coterie.world.resolvers.resolution import Effects, Resolution, cut, granted, refused


class FirstCome:
    """First come, first served, where the first is who has the highest priority, and then the name that sorts first.

    What one has set no other may set, remove or add to in the same commit. A ``take`` is cut to what is left; a
    ``move`` of more than there is gets refused. `actions` are further actions by name.
    """

    def __init__(self, actions: Mapping[str, Action] | None = None) -> None:
        self.actions = functions(f"{type(self).__name__}.actions", actions)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one decision for each intent, in their order."""
        ledger = _Ledger(view, self.actions)
        return [ledger.decide(intent) for intent in self.order(intents, random)]

    def order(self, intents: Sequence[Intent], random: Random) -> Sequence[Intent]:  # noqa: ARG002 - for overriding
        """Return the intents in the order in which they have their turn."""
        return intents


class Lottery(FirstCome):
    """As `FirstCome`, but in an order that is drawn from the seed; priorities go first all the same."""

    def order(self, intents: Sequence[Intent], random: Random) -> Sequence[Intent]:
        """Return the intents in the order in which they have their turn."""
        drawn = list(intents)
        random.shuffle(drawn)
        return sorted(drawn, key=lambda intent: -intent.priority)


class _Ledger:
    """What the world has come to by the intents that had their turn, without making it so."""

    def __init__(self, view: Mapping[str, Any], actions: Mapping[str, Action]) -> None:
        self._view = view
        self._actions = actions
        self._written: dict[str, str] = {}
        """Keys that were set or removed, and by whom."""
        self._sums: dict[str, Any] = {}
        """Numbers that were added to, and what they have come to."""

    def decide(self, intent: Intent) -> Resolution:
        effects = effects_of(self._view, intent, self._actions)
        if isinstance(effects, str):
            return refused(intent, effects)
        if self._written:
            for key in (*effects.adds, *effects.sets, *effects.removes):
                if key in self._written:
                    return refused(intent, f"{self._written[key]} was first to change {key}")
        for key in (*effects.sets, *effects.removes):
            if key in self._sums:
                return refused(intent, f"others were first to add to {key}")
        if intent.action in FLOORED and intent.action in ACTIONS and intent.action not in self._actions:
            return self._floored(intent, effects)
        self._carry_out(intent, effects)
        return granted(intent, effects)

    def _floored(self, intent: Intent, effects: Effects) -> Resolution:
        source, change = next(iter(effects.adds.items()))
        amount = -change
        there = self._sums[source] if source in self._sums else self._view.get(source, 0)
        if amount <= there or amount == 0:
            self._carry_out(intent, effects)
            return granted(intent, effects, amount=amount)
        if intent.action == "move":
            return refused(intent, f"{source} has {there} left", asked=amount)
        if there <= 0:
            return refused(intent, f"nothing is left of {source}", asked=amount)
        part = taken(source, key_of(intent, "into"), there)
        self._carry_out(intent, part)
        return cut(intent, part, f"only {there} is left of {source}", amount=there, asked=amount)

    def _carry_out(self, intent: Intent, effects: Effects) -> None:
        for key, change in effects.adds.items():
            self._sums[key] = (self._sums[key] if key in self._sums else self._view.get(key, 0)) + change
        for key in (*effects.sets, *effects.removes):
            self._written[key] = intent.agent
