"""Interventions: when this holds, do that. Each is recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from coterie.errors import InvalidSetting, describe
from coterie.errors.personas import InterventionFailed, PropositionFailed
from coterie.kernel import check_instance, check_number
from coterie.personas.studies.proposition import Judgement, Proposition
from coterie.rounds import Closing

PREFIX = "intervention/"
"""The prefix of the keys of the world that count interventions."""


class InterventionRecord(msgspec.Struct, frozen=True):
    """An intervention that was made."""

    intervention: str
    target: str
    """The name of the persona; in a simulation ``round`` and its number; empty for a whole population."""
    score: float
    reasons: str
    number: int
    """Counted from 1, by intervention and target."""


class Intervention:
    """A condition, and what to do when it holds.

    `when` is a `Proposition`, or a function of the target that returns yes or no. `then` is a function of the target. It is
    made at most `at_most` times for each target. Raises `InvalidSetting`.

    ::

        Intervention("cheer up", when=lambda ada: "sad" in ada.mental_state.emotions, then=lambda ada: ada.think("It will pass."))
    """

    def __init__(
        self,
        name: str,
        *,
        when: Proposition | Callable[[Any], Any],
        then: Callable[[Any], Any],
        at_most: int | None = None,
    ) -> None:
        check_instance("Intervention.name", name, str, "a name")
        if not name or "/" in name:
            raise InvalidSetting("Intervention.name", name, "a name without '/'")
        if not isinstance(when, Proposition) and not callable(when):
            raise InvalidSetting("Intervention.when", when, "a Proposition, or a function of the target")
        if not callable(then):
            raise InvalidSetting("Intervention.then", then, "a function of the target")
        check_number("Intervention.at_most", at_most, least=1, whole=True, optional=True)
        self.name = name
        self.when = when if isinstance(when, Proposition) else Proposition(name, when)
        self.then = then
        self.at_most = at_most

    def __deepcopy__(self, memo: object) -> Intervention:
        return self

    async def apply(self, target: Any, name: str, made: int) -> InterventionRecord | None:
        """Make the intervention if it is due, and return its record. Raises `InterventionFailed` and errors of models."""
        if self.at_most is not None and made >= self.at_most:
            return None
        judgement = await self.when.judge(target, label=f"intervention {self.name}, {name} {made + 1}")
        if not judgement.holds:
            return None
        try:
            done = self.then(target)
            for each in done if isinstance(done, list | tuple) else [done]:
                if inspect.isawaitable(each):
                    await each
        except Exception as error:
            raise InterventionFailed(self.name, name, describe(error)) from error
        return InterventionRecord(self.name, name, judgement.score, judgement.reasons, made + 1)


class Interventions:
    """Interventions at the end of each round of a simulation: a function for `settle`, after another such function.

    ::

        Simulation(..., settle=Interventions([Intervention("rain", when=dry, then=lambda closing: closing.set("lake", 100))]))

    A condition sees the world after the round, with the changes of `settle`; `then` gets the `Closing`. Each intervention is in
    the details of the event that settles the round, and is counted in a key of the world, so that a resumed run and a replay make
    the same. A condition that a model judges needs a `ModelGateway` with a recording. Raises `InvalidSetting`.
    """

    def __init__(self, interventions: Iterable[Intervention], settle: Callable[[Closing], object] | None = None) -> None:
        given = list(interventions)
        for each in given:
            check_instance("Interventions", each, Intervention, "an Intervention")
        names = [each.name for each in given]
        if not names or len(set(names)) < len(names):
            raise InvalidSetting("Interventions", names, "at least one intervention, each with a name of its own")
        self._interventions: Sequence[Intervention] = given
        self._settle = settle

    def __deepcopy__(self, memo: object) -> Interventions:
        return self

    def __call__(self, closing: Closing) -> None:
        """Settle a round. Raises `InterventionFailed`, which names the intervention and the round."""
        if self._settle is not None:
            self._settle(closing)
        records: list[dict[str, Any]] = []
        for each in self._interventions:
            key = f"{PREFIX}{each.name}"
            made = int(closing.view.get(key, 0))
            if each.at_most is not None and made >= each.at_most:
                continue
            where = f"round {closing.round}"
            try:
                judgement: Judgement = each.when.judge_blocking(_after(closing), label=f"intervention {each.name}, {where}")
                if not judgement.holds:
                    continue
                each.then(closing)
            except PropositionFailed:
                raise
            except Exception as error:
                raise InterventionFailed(each.name, where, describe(error)) from error
            closing.set(key, made + 1)
            record = InterventionRecord(each.name, where, judgement.score, judgement.reasons, made + 1)
            records.append(msgspec.to_builtins(record))
        if records:
            closing.tell(interventions=records)


def _after(closing: Closing) -> Any:
    """Return the view of the world with the changes that a round's settling has made so far."""
    if not closing.changes and not closing.removed:
        return closing.view
    keys = closing.view.keys_map.update(closing.changes)
    for key in closing.removed:
        if key in keys:
            keys = keys.delete(key)
    return type(closing.view)(keys, sequence=closing.view.sequence, time=closing.time)
