"""Minds by rules: small functions of a situation, in combination.

A rule takes a `Situation` and returns an action, several actions, or None if it does not apply. The rules here combine others,
are stateless, and draw random values from the situation's own stream.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.personas.mind.mind import Decision, Situation, as_decision
from coterie.personas.mind.state import PersonaAction, StimulusKind, done, talk

Rule: TypeAlias = Callable[[Situation], Any]
"""Returns an action, a sequence of actions, a `Decision`, or None; may be ``async``."""
Words: TypeAlias = str | Callable[[Situation], str]
"""A text, or a function of the situation that returns one."""


class RuleMind:
    """Takes the actions of the first of its rules that applies, once an episode.

    ::

        RuleMind(
            when(heard("breakfast"), say("I skip it.")),
            when(heard(), say(lambda situation: f"I am {situation.persona.name}.")),
        )

    An episode ends after these actions, unless one of them returns an answer (such as RECALL): then the rules are asked again,
    and see the answer. Stateless; safe to share. Raises `InvalidSetting` for a rule that is not callable.
    """

    def __init__(self, *rules: Rule) -> None:
        for rule in rules:
            if not callable(rule):
                raise InvalidSetting("RuleMind.rules", rule, "functions of a Situation")
        self.rules = rules

    def __deepcopy__(self, memo: object) -> RuleMind:
        return self

    async def decide(self, situation: Situation) -> Decision:
        """Return the actions of the first rule that applies; DONE if none does."""
        for rule in self.rules:
            said = rule(situation)
            if isinstance(said, Awaitable):
                said = await said
            if said is None:
                continue
            decision = as_decision(said)
            kinds = [situation.actions.find(each.kind) for each in decision.actions]
            if any(kind is not None and (kind.answers or kind.ends) for kind in kinds):
                return decision
            return Decision((*decision.actions, done()), decision.mental_state)
        return Decision((done(),))

    def __repr__(self) -> str:
        return f"RuleMind of {len(self.rules)} rules"


def when(condition: Callable[[Situation], bool], *rules: Rule) -> Rule:
    """Return a rule that applies the first of `rules` with a result, if a condition holds."""
    return lambda situation: _first(rules, situation) if condition(situation) else None


def first_of(*rules: Rule) -> Rule:
    """Return a rule that applies the first of `rules` with a result."""
    return lambda situation: _first(rules, situation)


def all_of(*rules: Rule) -> Rule:
    """Return a rule that applies all of `rules` in order. They must not be ``async``."""

    def apply(situation: Situation) -> tuple[PersonaAction, ...] | None:
        said = [as_decision(found) for rule in rules if (found := rule(situation)) is not None]
        return tuple(each for decision in said for each in decision.actions) if said else None

    return apply


def one_of(*rules: Rule) -> Rule:
    """Return a rule that applies one of `rules`, drawn from the situation's random stream."""
    return lambda situation: rules[situation.random.randrange(len(rules))](situation) if rules else None


def sometimes(probability: float, *rules: Rule) -> Rule:
    """Return a rule that applies the first of `rules` with a result, with a `probability` from 0 to 1.

    Raises `InvalidSetting` for another number.
    """
    check_number("sometimes.probability", probability)
    return lambda situation: _first(rules, situation) if situation.random.random() < probability else None


def say(words: Words, to: str = "") -> Rule:
    """Return a rule that says a text to a persona, or to all accessible ones."""
    return lambda situation: talk(_text(words, situation), to)


def reply(words: Words) -> Rule:
    """Return a rule that answers the last speaker; it has no result without one."""

    def apply(situation: Situation) -> PersonaAction | None:
        spoken = situation.heard()
        return talk(_text(words, situation), spoken[-1].source) if spoken else None

    return apply


def act(kind: str, words: Words = "", target: str = "", **arguments: Any) -> Rule:
    """Return a rule that takes an action of any kind."""
    return lambda situation: PersonaAction(kind, _text(words, situation), target, arguments)


def feel(emotions: str, *rules: Rule) -> Rule:
    """Return a rule that applies the first of `rules` with a result, and changes the emotions of the persona."""

    def apply(situation: Situation) -> Decision | None:
        said = _first(rules, situation)
        if said is None and rules:
            return None
        return Decision(as_decision(said).actions, situation.mental_state.changed(emotions=emotions))

    return apply


def heard(pattern: str = "") -> Callable[[Situation], bool]:
    """Return the condition that a pattern is found in speech since the last decision, in any case."""
    search = re.compile(pattern, re.IGNORECASE).search
    return lambda situation: any(search(each.content) for each in situation.heard())


def perceived(kind: StimulusKind, pattern: str = "") -> Callable[[Situation], bool]:
    """Return the condition that a pattern is found in a stimulus of a kind since the last decision, in any case."""
    search = re.compile(pattern, re.IGNORECASE).search
    return lambda situation: any(each.kind is kind and search(each.content) for each in situation.stimuli)


def _first(rules: Sequence[Rule], situation: Situation) -> Any:
    for rule in rules:
        if (said := rule(situation)) is not None:
            if inspect.iscoroutine(said):
                said.close()
                raise TypeError("an async rule stands alone in a RuleMind, not inside of another rule")
            return said
    return None


def _text(words: Words, situation: Situation) -> str:
    return words(situation) if callable(words) else words
