"""A guard of the engine's keys: agents change the mechanisms in force by accepted proposals only, not by intents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from coterie.rounds.proposals import PREFIX
from coterie.world import Intent
from coterie.world.resolvers import Effects, IntentOutcome, Resolution, Resolver, refused

_WHY = f"keys under {PREFIX} are changed by proposals that are accepted"


class GuardedResolver:
    """Lets `resolver` decide, and refuses intents that would change the engine's keys; it then decides again on the others."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def __repr__(self) -> str:
        return repr(self._resolver)

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> Sequence[Resolution]:
        """Return one decision for each intent."""
        guarded: list[Resolution] = []
        remaining = intents
        while True:
            decisions = self._resolver(view, remaining, random)
            if not isinstance(decisions, list | tuple):
                return decisions
            found = [each.intent for each in decisions if _touches(each)]
            if not found:
                return [*guarded, *decisions] if guarded else decisions
            guarded.extend(refused(intent, _WHY) for intent in found)
            excluded = {id(intent) for intent in found}
            remaining = [intent for intent in remaining if id(intent) not in excluded]


def _touches(decision: Any) -> bool:
    if not isinstance(decision, Resolution) or decision.outcome is IntentOutcome.REFUSED:
        return False
    effects = decision.effects
    if effects.__class__ is not Effects:
        return False
    return any(str(key).startswith(PREFIX) for keys in (effects.sets, effects.adds, effects.removes) for key in keys)
