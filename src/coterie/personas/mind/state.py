"""Mental state, stimuli and actions of a persona: frozen values, replaced as a whole."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec


class MentalState(msgspec.Struct, frozen=True):
    """Goals, context, attention and emotions of a persona. Replaced as a whole, never in part."""

    goals: tuple[str, ...] = ()
    """Current goals, the most urgent first."""
    context: tuple[str, ...] = ()
    """Assumptions about the place and the events."""
    attention: str = ""
    """The focus of attention."""
    emotions: str = ""
    """The emotions."""

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
    """Speech of another."""
    SOCIAL = "social"
    """Another became accessible, or left."""
    LOCATION = "location"
    """A new location."""
    VISUAL = "visual"
    """A sight."""
    THOUGHT = "thought"
    """A thought."""
    GOAL = "goal"
    """A new goal."""
    RESULT = "result"
    """The result of an own action."""


class Stimulus(msgspec.Struct, frozen=True):
    """One input of a persona."""

    kind: StimulusKind
    content: str
    source: str = ""
    """The speaker or actor; empty without one."""

    def __str__(self) -> str:
        return f"{self.source}: {self.content}" if self.source else self.content

    def __deepcopy__(self, memo: object) -> Stimulus:
        return self


class PersonaAction(msgspec.Struct, frozen=True):
    """An action that a mind decided."""

    kind: str
    """The name of a registered action, such as ``TALK``."""
    content: str = ""
    """The text to say, to think, to remember or to look up."""
    target: str = ""
    """The addressee; empty without one."""
    arguments: dict[str, Any] = {}
    """Further arguments, as plain data."""
    mental_state: MentalState | None = None
    """The mental state after the action; None for no change."""

    def __str__(self) -> str:
        to = f" to {self.target}" if self.target else ""
        more = f" {self.arguments}" if self.arguments else ""
        return f"{self.kind}{to}{': ' if self.content else ''}{self.content}{more}"


class ActionOutcome(enum.StrEnum):
    """The outcome of an action."""

    DONE = "done"
    REFUSED = "refused"
    """The action was not possible; the result has the reason."""
    FAILED = "failed"
    """The function of the action raised; the result has the error."""


ActionResult: TypeAlias = str | tuple[ActionOutcome, str] | None
"""The result of an action: None, a text that the persona perceives, or an outcome with such a text."""


class ActionRecord(msgspec.Struct, frozen=True):
    """An action and its outcome."""

    action: PersonaAction
    outcome: ActionOutcome = ActionOutcome.DONE
    result: str = ""
    """The text that the persona perceives, such as a memory or the reason of a refusal."""
    number: int = 0
    """The number of the action, counted from 1 by persona."""

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
