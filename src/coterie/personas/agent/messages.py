"""The messages of persona agents."""

from __future__ import annotations

from typing import Any

import msgspec

from coterie.kernel import check_instance, check_number
from coterie.messaging import Message, Request
from coterie.personas.agent.state import Episode, PersonaState
from coterie.personas.mind.state import MentalState, Stimulus, StimulusKind


class Perceive(Request[None]):
    """Gives a persona stimuli, in their order."""

    stimuli: tuple[Stimulus, ...]

    def __post_init__(self) -> None:
        _check_tuple(self, "stimuli", Stimulus, "Stimulus values")


class Listen(Request[None]):
    """Speech to a persona."""

    content: str
    speaker: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, "content", "speaker")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.CONVERSATION, self.content, self.speaker)


class See(Request[None]):
    """A sight for a persona."""

    content: str

    def __post_init__(self) -> None:
        _check_texts(self, "content")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.VISUAL, self.content)


class Think(Request[None]):
    """A thought for a persona."""

    content: str

    def __post_init__(self) -> None:
        _check_texts(self, "content")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.THOUGHT, self.content)


class Introduce(Request[None]):
    """Informs a persona that another one is accessible, or acts."""

    content: str
    source: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, "content", "source")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.SOCIAL, self.content, self.source)


class ChangeLocation(Request[None]):
    """Changes the location of a persona."""

    place: str

    def __post_init__(self) -> None:
        _check_texts(self, "place")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.LOCATION, self.place)


class SetGoal(Request[None]):
    """Adds a goal to a persona, as the most urgent one."""

    goal: str

    def __post_init__(self) -> None:
        _check_texts(self, "goal")

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.GOAL, self.goal)


class StartEpisode(Request[Episode]):
    """Runs one episode of a persona."""

    steps: int | None = None
    """Steps at most; None for the agent's own bound."""
    label: str = ""
    """The name of the episode in recordings; by default its number."""
    silent: bool = False
    """Whether speech is only recorded, not delivered."""
    stimuli: tuple[Stimulus, ...] = ()
    """Stimuli to perceive first."""

    def __post_init__(self) -> None:
        check_number("StartEpisode.steps", self.steps, least=1, whole=True, optional=True)
        _check_texts(self, "label")
        _check_tuple(self, "stimuli", Stimulus, "Stimulus values")


class ChangeMind(Request[MentalState]):
    """Changes fields of a persona's mental state; the reply is the new state."""

    goals: tuple[str, ...] | None = None
    context: tuple[str, ...] | None = None
    attention: str | None = None
    emotions: str | None = None

    def __post_init__(self) -> None:
        for name in ("goals", "context"):
            if getattr(self, name) is not None:
                _check_tuple(self, name, str, "texts")
        _check_texts(self, *(name for name in ("attention", "emotions") if getattr(self, name) is not None))


class Remember(Request[str]):
    """Stores a memory of a persona; the reply is its id, empty if the runtime has no memory."""

    content: str
    importance: float = 0.5

    def __post_init__(self) -> None:
        _check_texts(self, "content")
        check_number("Remember.importance", self.importance)


class Recall(Request[tuple[str, ...]]):
    """Searches the memories of a persona; the reply is the best matches, best first."""

    question: str
    limit: int = 5

    def __post_init__(self) -> None:
        _check_texts(self, "question")
        check_number("Recall.limit", self.limit, least=1, whole=True)


class Consolidate(Request[int]):
    """Consolidates the memories of a persona; the reply is the number of episodes consolidated."""

    force: bool = True


class GetState(Request[PersonaState]):
    """Requests the state of a persona after all messages sent before."""


class FallbackUsed(Message):
    """Published on the topic `PERSONAS` when a fallback has decided."""

    who: str
    label: str
    reason: str


PERSONAS = "personas"
"""The topic on which persona agents publish."""

StimulusMessage = Listen | See | Think | Introduce | ChangeLocation | SetGoal


class DialogueLine(msgspec.Struct, frozen=True):
    """One line of a dialogue."""

    speaker: str
    text: str
    target: str = ""
    """The addressee; empty for all."""
    number: int = 0
    """Counted from 1."""
    details: dict[str, Any] = {}
    """Additional plain data."""


class Dialogue(msgspec.Struct, frozen=True):
    """The lines of a conversation."""

    lines: tuple[DialogueLine, ...]
    ended: str = ""
    """The reason of its end."""

    def __str__(self) -> str:
        return "\n".join(f"{line.speaker}: {line.text}" for line in self.lines)


def _check_texts(message: Message, *names: str) -> None:
    for name in names:
        check_instance(f"{type(message).__name__}.{name}", getattr(message, name), str, "text")


def _check_tuple(message: Message, name: str, kind: type, need: str) -> None:
    where, values = f"{type(message).__name__}.{name}", getattr(message, name)
    check_instance(where, values, tuple, f"a tuple of {need}")
    for each in values:
        check_instance(where, each, kind, need)
