"""A mind whose actions are checked for plausibility, and decided again if they are not."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from coterie.errors import InvalidSetting, describe
from coterie.errors.personas import MindFailed
from coterie.kernel import Checkpointable, check_number
from coterie.personas.mind.mind import Decision, Mind, Situation, as_decision
from coterie.personas.mind.state import PersonaAction, Stimulus, StimulusKind, done

ActionCheck: TypeAlias = Callable[[Situation, PersonaAction], "str | bool | Awaitable[str | bool | None] | None"]
"""Returns the problem of an action as text, or False; nothing or True if it is plausible. It may be ``async``."""


class PlausibleMind:
    """Asks `mind`, checks each of its actions, and asks again with the problem, `retries` times.

    If actions are still implausible, they are left out (``"drop"``), taken all the same (``"keep"``), or the decision fails
    (``"raise"``). What was left out or kept is in the decision as the reason of a fallback, so that it is counted, logged and
    published like one. A check that raises counts as a problem. Raises `InvalidSetting`.
    """

    def __init__(
        self, mind: Mind, *checks: ActionCheck, retries: int = 2, otherwise: Literal["drop", "keep", "raise"] = "drop"
    ) -> None:
        check_number("PlausibleMind.retries", retries, whole=True)
        if not checks or not all(callable(check) for check in checks):
            raise InvalidSetting("PlausibleMind.checks", checks, "at least one function of a situation and an action")
        if otherwise not in ("drop", "keep", "raise"):
            raise InvalidSetting("PlausibleMind.otherwise", otherwise, "'drop', 'keep' or 'raise'")
        self.mind = mind
        self._checks = checks
        self._retries = retries
        self._otherwise = otherwise

    async def decide(self, situation: Situation) -> Decision:
        """Return a decision whose actions are plausible, or which says which are not."""
        attempts, asked = 0, situation
        while True:
            decision = as_decision(await self.mind.decide(asked))
            attempts += decision.attempts
            problems = [(each, problem) for each in decision.actions if (problem := await self._problem(situation, each))]
            if not problems:
                return dataclasses.replace(decision, attempts=attempts)
            if attempts > self._retries:
                return self._end(situation, decision, problems, attempts)
            told = "; ".join(f"{action}: {problem}" for action, problem in problems)
            hint = Stimulus(StimulusKind.RESULT, f"This would not be plausible, do otherwise: {told}")
            asked = dataclasses.replace(
                situation, stimuli=(*situation.stimuli, hint), label=f"{situation.label}/plausible {attempts + 1}"
            )

    def _end(
        self, situation: Situation, decision: Decision, problems: list[tuple[PersonaAction, str]], attempts: int
    ) -> Decision:
        told = "; ".join(f"{action}: {problem}" for action, problem in problems)
        if self._otherwise == "raise":
            raise MindFailed(situation.who, f"its actions are not plausible: {told}")
        reason = f"not plausible, {'left out' if self._otherwise == 'drop' else 'taken all the same'}: {told}"
        actions = decision.actions
        if self._otherwise == "drop":
            bad = {id(action) for action, _ in problems}
            actions = tuple(action for action in actions if id(action) not in bad) or (done(),)
        return Decision(actions, decision.mental_state, decision.fallback or reason, attempts)

    async def _problem(self, situation: Situation, action: PersonaAction) -> str:
        kind = situation.actions.find(action.kind)
        if kind is not None and kind.ends:
            return ""
        for check in self._checks:
            try:
                found: Any = check(situation, action)
                if inspect.isawaitable(found):
                    found = await found
            except Exception as error:  # noqa: BLE001 - the decision holds it
                return f"its check raised {describe(error)}"
            if found is False:
                return f"{getattr(check, '__name__', 'a check')} does not hold"
            if isinstance(found, str) and found:
                return found
        return ""

    def snapshot(self) -> Any:
        """Return the state of the mind inside, if it has one."""
        return self.mind.snapshot() if isinstance(self.mind, Checkpointable) else None

    def restore(self, state: Any) -> None:
        """Give the mind inside its state back."""
        if isinstance(self.mind, Checkpointable) and state is not None:
            self.mind.restore(state)
