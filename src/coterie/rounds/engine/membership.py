"""The changes of membership that the function `membership` of a simulation returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coterie.errors import StageFailed, describe
from coterie.rounds.plan import Change, Plan


def change_of(plan: Plan, number: int) -> Change:
    """Return the agents that join and leave before a round. Raises `StageFailed` if the function fails."""
    if plan.membership is None:
        return Change()
    try:
        change = plan.membership(number, plan.world.view())
    except Exception as error:
        raise StageFailed("membership", number, f"it raised {describe(error)}") from error
    if change is None:
        return Change()
    if not isinstance(change, Change):
        raise StageFailed("membership", number, f"it returned {change!r}; return Change(join=[...], leave=[...]), or None")
    given: tuple[Any, ...] = (change.join, change.leave)
    if any(isinstance(names, str) or not isinstance(names, Iterable) for names in given):
        raise StageFailed("membership", number, f"it returned {change!r}; both are lists of names")
    return Change(tuple(change.join), tuple(change.leave))
