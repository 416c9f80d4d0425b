"""Resolvers that decide all intents together: merge them, or refuse conflicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

import msgspec

from coterie.world.intent import Intent
from coterie.world.resolvers.actions import FLOORED, Action, effects_of, functions
from coterie.world.resolvers.resolution import Effects, Resolution, granted, refused
from coterie.world.state.values import freeze

Combine: TypeAlias = Callable[[Sequence[Any]], Any]
"""Takes the values that several intents set one key to, in order; returns the combined value."""


class Merge:
    """Grants all intents that can be merged: sums add up, equal values agree, other values are combined.

    `combine` maps prefixes of keys to functions, such as ``{"bids/": max}``; the longest prefix counts. Without a
    function, compatible mappings are joined, and of conflicting values the first wins. An intent is refused if it takes
    or moves more than was available at first, or removes a key that others set or add to.
    """

    def __init__(self, combine: Mapping[str, Combine] | None = None, actions: Mapping[str, Action] | None = None) -> None:
        self.combine = functions("Merge.combine", combine)
        self.actions = functions("Merge.actions", actions)

    def __repr__(self) -> str:
        return f"Merge({', '.join(self.combine)})"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:  # noqa: ARG002
        """Return one resolution for each intent, in their order."""
        found = [effects_of(view, intent, self.actions) for intent in intents]
        set_to: dict[str, list[Any]] = {}
        for effects in found:
            if not isinstance(effects, str):
                for key, value in effects.sets.items():
                    set_to.setdefault(key, []).append(freeze(value, key))
        merged = {key: self._merge(key, values) for key, values in set_to.items()}
        added = frozenset(key for effects in found if not isinstance(effects, str) for key in effects.adds)
        left: dict[str, Any] = {}
        decided = [self._decide(view, each, effects, merged, added, left) for each, effects in zip(intents, found, strict=True)]
        return _with_expiries(decided, found)

    def _decide(
        self,
        view: Mapping[str, Any],
        intent: Intent,
        effects: Effects | str,
        merged: Mapping[str, Any],
        added: frozenset[str],
        left: dict[str, Any],
    ) -> Resolution:
        if isinstance(effects, str):
            return refused(intent, effects)
        if met := sorted(merged.keys() & {*effects.removes, *effects.adds}):
            return refused(intent, f"others set {met[0]}")
        if met := sorted(added.intersection(effects.removes)):
            return refused(intent, f"others add to {met[0]}, or take from it")
        for key, value in effects.sets.items():
            if not self._is_part(key, freeze(value, key), merged[key]):
                return refused(intent, f"{key} was set to something else")
        if intent.action in FLOORED and intent.action not in self.actions:
            for key, change in effects.adds.items():
                there = left.setdefault(key, view.get(key, 0))
                if change < 0 and -change > there:
                    return refused(intent, f"{key} has {there} left")
                if change < 0:
                    left[key] = there + change
        return granted(intent, Effects({key: merged[key] for key in effects.sets}, effects.adds, effects.removes))

    def _merge(self, key: str, values: Sequence[Any]) -> Any:
        combine = self._combine_for(key)
        if combine is not None:
            return freeze(combine(values), key)
        whole = values[0]
        for value in values[1:]:
            if isinstance(whole, Mapping) and isinstance(value, Mapping):
                whole = freeze({**value, **whole}, key)
        return whole

    def _is_part(self, key: str, value: Any, whole: Any) -> bool:
        if self._combine_for(key) is not None or value == whole:
            return True
        both = isinstance(value, Mapping) and isinstance(whole, Mapping)
        return both and all(whole[name] == each for name, each in value.items())

    def _combine_for(self, key: str) -> Combine | None:
        fitting = [prefix for prefix in self.combine if key.startswith(prefix)]
        return self.combine[max(fitting, key=len)] if fitting else None


def _with_expiries(decided: Sequence[Resolution], found: Sequence[Effects | str]) -> list[Resolution]:
    """Return resolutions whose keys expire when the last of the intents that set them wants; never if one gives no time."""
    ttls: dict[str, list[float | None]] = {}
    for effects in found:
        if not isinstance(effects, str):
            for key in (*effects.sets, *effects.adds):
                ttls.setdefault(key, []).append(effects.ttl)
    timed = []
    for each in decided:
        wanted = [ttl for key in (*each.effects.sets, *each.effects.adds) for ttl in ttls[key]]
        finite = [ttl for ttl in wanted if ttl is not None]
        if finite and len(finite) == len(wanted):
            timed.append(msgspec.structs.replace(each, effects=msgspec.structs.replace(each.effects, ttl=max(finite))))
        else:
            timed.append(each)
    return timed


class RefuseOnConflict:
    """Refuses all conflicting intents: those that set or remove a key that another uses, or together take too much."""

    def __init__(self, actions: Mapping[str, Action] | None = None) -> None:
        self.actions = functions("RefuseOnConflict.actions", actions)

    def __repr__(self) -> str:
        return "RefuseOnConflict()"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:  # noqa: ARG002
        """Return one resolution for each intent, in their order."""
        found = [effects_of(view, intent, self.actions) for intent in intents]
        sound = [effects for effects in found if not isinstance(effects, str)]
        touching = Counter(key for effects in sound for key in effects.touched())
        writing = Counter(key for effects in sound for key in {*effects.sets, *effects.removes})
        drawn: dict[str, float] = {}
        for intent, effects in zip(intents, found, strict=True):
            if not isinstance(effects, str) and intent.action in FLOORED:
                for key, change in effects.adds.items():
                    drawn[key] = drawn.get(key, 0) - min(0, change)
        decisions = []
        for intent, effects in zip(intents, found, strict=True):
            if isinstance(effects, str):
                decisions.append(refused(intent, effects))
                continue
            met = [key for key in effects.touched() if writing[key] and touching[key] > 1]
            over = [key for key, change in effects.adds.items() if change < 0 and drawn.get(key, 0) > view.get(key, 0)]
            if met:
                decisions.append(refused(intent, f"{touching[min(met)] - 1} more want {min(met)}"))
            elif over and intent.action in FLOORED:
                decisions.append(refused(intent, f"together they want {drawn[min(over)]} of {min(over)}"))
            else:
                decisions.append(granted(intent, effects))
        return decisions
