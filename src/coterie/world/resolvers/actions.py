"""The actions that all resolvers know, and their effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.world.intent import Intent
from coterie.world.resolvers.resolution import Effects

Action: TypeAlias = Callable[[Mapping[str, Any], Intent], Effects | str]
"""Takes a view and an intent; returns the effects of the intent, or the reason why it is invalid."""


def amount_of(intent: Intent) -> int | float | str:
    """Return the amount that an intent takes or moves, a number of 0 or more, or the reason why it is invalid."""
    if intent.arguments.get("ttl") is not None:
        return f"{intent.action} has no ttl; set and add have one"
    amount = intent.arguments.get("amount")
    if amount.__class__ in (int, float) and math.isfinite(amount) and amount >= 0:
        return amount
    return f"amount={amount!r} is not a number of 0 or more"


def key_of(intent: Intent, name: str = "key", default: str | None = None) -> str | None:
    """Return the key in the argument `name` of an intent, or None if it is missing or invalid."""
    key = intent.arguments.get(name, default)
    return key if isinstance(key, str) and key else None


def ttl_of(intent: Intent) -> float | str | None:
    """Return the seconds after which the key of an intent expires, None if it gives none, or why they are invalid."""
    ttl = intent.arguments.get("ttl")
    if ttl is None or (ttl.__class__ in (int, float) and math.isfinite(ttl) and ttl > 0):
        return ttl
    return f"ttl={ttl!r} is not a number of seconds above 0"


def _set(view: Mapping[str, Any], intent: Intent) -> Effects | str:  # noqa: ARG001 - as every action
    key = key_of(intent)
    if key is None or "value" not in intent.arguments:
        return "set needs a key and a value"
    ttl = ttl_of(intent)
    return ttl if isinstance(ttl, str) else Effects(sets={key: intent.arguments["value"]}, ttl=ttl)


def _remove(view: Mapping[str, Any], intent: Intent) -> Effects | str:
    key = key_of(intent)
    if key is None:
        return "remove needs a key"
    if intent.arguments.get("ttl") is not None:
        return "remove has no ttl; set and add have one"
    return Effects(removes=(key,)) if key in view else f"there is no {key}"


def _add(view: Mapping[str, Any], intent: Intent) -> Effects | str:  # noqa: ARG001 - as every action
    key, amount = key_of(intent), intent.arguments.get("amount")
    if key is None:
        return "add needs a key"
    if amount.__class__ not in (int, float) or not math.isfinite(amount):
        return f"amount={amount!r} is not a number"
    ttl = ttl_of(intent)
    return ttl if isinstance(ttl, str) else Effects(adds={key: amount}, ttl=ttl)


def _take(view: Mapping[str, Any], intent: Intent) -> Effects | str:  # noqa: ARG001 - as every action
    key, amount = key_of(intent), amount_of(intent)
    if key is None:
        return "take needs a key"
    if isinstance(amount, str):
        return amount
    return taken(key, key_of(intent, "into"), amount)


def _move(view: Mapping[str, Any], intent: Intent) -> Effects | str:  # noqa: ARG001 - as every action
    source, target, amount = key_of(intent, "source"), key_of(intent, "target"), amount_of(intent)
    if source is None or target is None:
        return "move needs a source and a target"
    if isinstance(amount, str):
        return amount
    return taken(source, target, amount)


def _born(view: Mapping[str, Any], intent: Intent) -> Effects | str:
    values = intent.arguments.get("values", {})
    if not isinstance(intent.arguments.get("name"), str) or not isinstance(values, Mapping):
        return "born needs a name, and values by key"
    there = next((key for key in values if key in view), None)
    return f"{there} is there already" if there is not None else Effects(sets=values)


def _die(view: Mapping[str, Any], intent: Intent) -> Effects | str:
    keys = intent.arguments.get("keys", ())
    if not isinstance(intent.arguments.get("name"), str) or not isinstance(keys, tuple | list):
        return "die needs a name, and the keys to remove"
    return Effects(removes=tuple(key for key in keys if isinstance(key, str) and key in view))


def taken(source: str, into: str | None, amount: float) -> Effects:
    """Return the effects of taking an amount out of one key and adding it to another, if given."""
    if into is None:
        return Effects(adds={source: -amount})
    return Effects(adds={source: -amount, into: amount}) if into != source else Effects(adds={source: 0})


ACTIONS: Mapping[str, Action] = {
    "set": _set,
    "remove": _remove,
    "add": _add,
    "take": _take,
    "move": _move,
    "born": _born,
    "die": _die,
}
"""By name. `Turn.bear` and `Turn.die` intend the last two: a simulation lets the named agents join and leave."""

FLOORED = frozenset(("take", "move"))
"""The actions that never make a key negative."""


def functions(where: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of a mapping of names to functions. Raises `InvalidSetting` for other values."""
    check_instance(where, given, (Mapping, type(None)), "a mapping of names to functions")
    for name, function in (given or {}).items():
        if name.__class__ is not str or not callable(function):
            raise InvalidSetting(f"{where}[{name!r}]", function, "a function under a text as its name")
    return dict(given or {})


def effects_of(view: Mapping[str, Any], intent: Intent, actions: Mapping[str, Action]) -> Effects | str:
    """Return the effects of an intent, or the reason why it is invalid. Numbers are added to numbers only."""
    action = actions.get(intent.action) or ACTIONS.get(intent.action)
    if action is None:
        space, dot, _ = intent.action.partition(".")
        remedy = f"; if {space} is a space, give the simulation resolver=Movement({space})" if dot else ""
        return f"no such action: {intent.action}; there are {', '.join(sorted({*ACTIONS, *actions}))}{remedy}"
    effects = action(view, intent)
    if effects.__class__ is str:
        return effects
    if effects.__class__ is not Effects:
        raise TypeError(f"the action {intent.action} returned {effects!r}; return Effects, or the reason for a refusal")
    for key in effects.adds:
        if view.get(key, 0).__class__ not in (int, float):
            return f"{key} is not a number"
    return effects
