"""Mental state, stimuli and actions of a persona: frozen values, replaced as a whole."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec


class MentalState(msgspec.Struct, frozen=True):
    """Goals, context, attention and emotions of a persona. Replaced as a whole, never in part."""

    goals: tuple[str, ...] = ()
    """What it pursues now, the most urgent first."""
    context: tuple[str, ...] = ()
    """What it takes for given about where it is and what goes on."""
    attention: str = ""
    """What it attends to."""
    emotions: str = ""
    """How it feels."""

    def changed(
        self,
        *,
        goals: Sequence[str] | None = None,
        context: Sequence[str] | None = None,
        attention: str | None = None,
        emotions: str | None = None,
    ) -> MentalState:
        """Return a copy of the state with the given fields replaced."""
        return MentalState(
            self.goals if goals is None else tuple(goals),
            self.context if context is None else tuple(context),
            self.attention if attention is None else attention,
            self.emotions if emotions is None else emotions,
        )

    def __deepcopy__(self, memo: object) -> MentalState:
        return self


class StimulusKind(enum.StrEnum):
    """The kind of a stimulus."""

    CONVERSATION = "conversation"
    """Somebody said something."""
    SOCIAL = "social"
    """Somebody came within reach, or left."""
    LOCATION = "location"
    """It is somewhere else now."""
    VISUAL = "visual"
    """It sees something."""
    THOUGHT = "thought"
    """Something comes to its mind."""
    GOAL = "goal"
    """It has something new to pursue."""
    RESULT = "result"
    """What came of an action of its own."""


class Stimulus(msgspec.Struct, frozen=True):
    """One thing that came to a persona."""

    kind: StimulusKind
    content: str
    source: str = ""
    """Who said or did it, if it was somebody."""

    def __str__(self) -> str:
        return f"{self.source}: {self.content}" if self.source else self.content

    def __deepcopy__(self, memo: object) -> Stimulus:
        return self


class PersonaAction(msgspec.Struct, frozen=True):
    """Something that a persona wants to do, or did."""

    kind: str
    """The name of a registered action, such as ``TALK``."""
    content: str = ""
    """What is said, thought, remembered, asked for."""
    target: str = ""
    """Whom it is directed at, if at somebody."""
    arguments: dict[str, Any] = {}
    """What else the action was given, in plain data."""
    mental_state: MentalState | None = None
    """How the mind stands once it is done; None if that does not change."""

    def __str__(self) -> str:
        to = f" to {self.target}" if self.target else ""
        more = f" {self.arguments}" if self.arguments else ""
        return f"{self.kind}{to}{': ' if self.content else ''}{self.content}{more}"


class ActionOutcome(enum.StrEnum):
    """The outcome of an action."""

    DONE = "done"
    REFUSED = "refused"
    """It was not possible; the result says why."""
    FAILED = "failed"
    """What carries it out raised; the result says what."""


ActionResult: TypeAlias = str | tuple[ActionOutcome, str] | None
"""The result of an action: None, a text that the persona hears, or an outcome with such a text."""


class ActionRecord(msgspec.Struct, frozen=True):
    """An action and what came of it."""

    action: PersonaAction
    outcome: ActionOutcome = ActionOutcome.DONE
    result: str = ""
    """What the persona hears of it: what it recalls, why it was refused."""
    number: int = 0
    """Which of the persona's actions it is, counted from 1."""

    def __deepcopy__(self, memo: object) -> ActionRecord:
        return self


TALK = "TALK"
THINK = "THINK"
REACH_OUT = "REACH_OUT"
REMEMBER = "REMEMBER"
RECALL = "RECALL"
CONSULT = "CONSULT"
DONE = "DONE"


def talk(content: str, to: str = "") -> PersonaAction:
    """Return the action of saying `content` to a persona, or to all accessible ones."""
    return PersonaAction(TALK, content, to)


def done() -> PersonaAction:
    """Return the action of having nothing more to do for now."""
    return PersonaAction(DONE)
