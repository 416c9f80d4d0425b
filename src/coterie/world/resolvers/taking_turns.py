"""Resolvers that decide intents one after another, each after the effects of the previous ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from coterie.world.intent import Intent
from coterie.world.resolvers.actions import ACTIONS, FLOORED, Action, effects_of, functions, key_of, taken
from coterie.world.resolvers.resolution import Effects, Resolution, cut, granted, refused


class FirstCome:
    """First come, first served: by priority, then by the name of the agent.

    A key that one intent has set cannot be set, removed or added to by another in the same commit. A ``take`` is cut to
    the remaining amount; a ``move`` of more than that is refused. `actions` adds actions by name.
    """

    def __init__(self, actions: Mapping[str, Action] | None = None) -> None:
        self.actions = functions(f"{type(self).__name__}.actions", actions)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one resolution for each intent, in their order."""
        draft = _Draft(view, self.actions)
        return [draft.decide(intent) for intent in self.order(intents, random)]

    def order(self, intents: Sequence[Intent], random: Random) -> Sequence[Intent]:  # noqa: ARG002 - for overriding
        """Return the intents in the order of their decision."""
        return intents


class Lottery(FirstCome):
    """As `FirstCome`, but in a random order from the seed within each priority."""

    def order(self, intents: Sequence[Intent], random: Random) -> Sequence[Intent]:
        """Return the intents in the order of their decision."""
        drawn = list(intents)
        random.shuffle(drawn)
        return sorted(drawn, key=lambda intent: -intent.priority)


class _Draft:
    """The state after the decided intents, without changing the world."""

    def __init__(self, view: Mapping[str, Any], actions: Mapping[str, Action]) -> None:
        self._view = view
        self._actions = actions
        self._written: dict[str, str] = {}
        """Set or removed keys, and the agents that did so."""
        self._sums: dict[str, Any] = {}
        """Current values of the numbers that were added to."""

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
