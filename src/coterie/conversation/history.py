"""Policies of a conversation's history: which part of the log a prompt shows, and which part a summary replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number


class HistoryUnit(Protocol):
    """A part of the history that stays together: a turn with its calls and results, a delivery, or an outcome."""

    @property
    def turn(self) -> int:
        """The turn; 0 for a delivery or an outcome between turns."""
        ...

    @property
    def tokens(self) -> int:
        """Its estimated length in a prompt, in tokens."""
        ...

    @property
    def pinned(self) -> bool:
        """Whether an operation of the turn has not ended. It is always shown, and never summarised."""
        ...


class HistoryPlan(msgspec.Struct, frozen=True):
    """The decision of a policy."""

    first: int = 0
    """The index of the first unit to show. Units that do not fit are left out, the oldest first."""
    summarise: int = 0
    """The number of the oldest units that a summary should replace, in the background."""


@runtime_checkable
class HistoryPolicy(Protocol):
    """Decides on the history of a conversation. A value: it has no state, and is called from any thread."""

    def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:
        """Return the decision on units that are not summarised yet, oldest first, for a prompt of `budget` tokens.

        It is called for each prompt, so it must be quick. Units and a plan out of range are cut to what there is.
        """
        ...


class KeepLast(msgspec.Struct, frozen=True):
    """Show the latest turns and deliveries, as many of them as fit; forget the older ones. Raises `InvalidSetting`."""

    turns: int = 40

    def __post_init__(self) -> None:
        check_number("KeepLast.turns", self.turns, least=1, whole=True)

    def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:  # noqa: ARG002 - as the protocol has it
        """Return the plan to show the latest units."""
        return HistoryPlan(first=max(0, len(units) - self.turns))


class Summarise(msgspec.Struct, frozen=True, kw_only=True):
    """Have the model summarise the oldest part before the window is full. Raises `InvalidSetting`.

    Until the summary is there, or if it fails, the oldest units that do not fit are left out.
    """

    at: float = 0.8
    """The part of the budget from which on a summary is written."""
    to: float = 0.5
    """The part of the budget that the units behind the summary have at most."""
    latest: int = 4
    """The latest turns and deliveries that are never summarised."""

    def __post_init__(self) -> None:
        for name in ("at", "to"):
            check_number(f"Summarise.{name}", getattr(self, name), above=0)
        if not self.to < self.at <= 1:
            raise InvalidSetting("Summarise.at", self.at, f"more than to = {self.to:g}, and at most 1")
        check_number("Summarise.latest", self.latest, least=1, whole=True)

    def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:
        """Return the plan to show all, and to summarise the oldest units once they fill the budget."""
        if sum([each.tokens for each in units]) <= self.at * budget:
            return HistoryPlan()
        left = self.to * budget
        end = len(units)
        while end > 0 and (left := left - units[end - 1].tokens) >= 0:
            end -= 1
        return HistoryPlan(summarise=max(0, min(end, len(units) - self.latest)))


_NAMED = {"keep_last": KeepLast, "summarise": Summarise}


def policy_of(where: str, given: Any) -> HistoryPolicy:
    """Return a policy from a setting: itself, a number of turns, or a table of a scenario. Raises `InvalidSetting`."""
    if isinstance(given, int) and not isinstance(given, bool):
        check_number(where, given, least=1, whole=True)
        return KeepLast(given)
    if isinstance(given, Mapping):
        options = dict(given)
        kind = _NAMED.get(str(options.pop("policy", "")))
        if kind is not None:
            try:
                made: HistoryPolicy = kind(**options)
            except TypeError as error:
                raise InvalidSetting(where, given, f"the options of {kind.__name__} ({error})") from error
            return made
    if isinstance(given, HistoryPolicy) and not isinstance(given, type):
        return given
    raise InvalidSetting(where, given, 'a policy such as Summarise() or KeepLast(40), or {policy = "summarise"} in a file')
