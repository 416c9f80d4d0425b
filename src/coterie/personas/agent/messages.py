"""What one can ask of a persona agent."""

from __future__ import annotations

from typing import Any

import msgspec

from coterie.messaging import Message, Request
from coterie.personas.agent.state import Episode, PersonaState
from coterie.personas.mind.state import MentalState, Stimulus, StimulusKind


class Perceive(Request[None]):
    """Gives a persona stimuli, in their order."""

    stimuli: tuple[Stimulus, ...]


class Listen(Request[None]):
    """Says something to a persona."""

    content: str
    speaker: str = ""

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.CONVERSATION, self.content, self.speaker)


class See(Request[None]):
    """Shows a persona something."""

    content: str

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.VISUAL, self.content)


class Think(Request[None]):
    """Lets something come to a persona's mind."""

    content: str

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.THOUGHT, self.content)


class Meet(Request[None]):
    """Tells a persona that somebody is within reach, or what somebody does."""

    content: str
    source: str = ""

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.SOCIAL, self.content, self.source)


class Move(Request[None]):
    """Puts a persona somewhere."""

    place: str

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.LOCATION, self.place)


class Pursue(Request[None]):
    """Gives a persona a goal, the most urgent from now on."""

    goal: str

    def stimulus(self) -> Stimulus:
        """Return it as a stimulus."""
        return Stimulus(StimulusKind.GOAL, self.goal)


class Act(Request[Episode]):
    """Lets a persona act: one episode, to its end."""

    steps: int | None = None
    """Steps at most; None for the agent's own bound."""
    label: str = ""
    """What recordings call the episode; by default its number."""
    silent: bool = False
    """Whether what it says is only recorded, for somebody else to pass on."""
    stimuli: tuple[Stimulus, ...] = ()
    """What it is given first."""


class ChangeMind(Request[MentalState]):
    """Replaces a persona's mental state by one with these changes, and answers with the new one."""

    goals: tuple[str, ...] | None = None
    context: tuple[str, ...] | None = None
    attention: str | None = None
    emotions: str | None = None


class Keep(Request[str]):
    """Has a persona remember something; answers with the id of the memory, if the runtime has one."""

    content: str
    importance: float = 0.5


class Recollect(Request[tuple[str, ...]]):
    """Asks a persona what it remembers about something, best first."""

    question: str
    most: int = 5


class Consolidate(Request[int]):
    """Has a persona consolidate its memories; answers with how many episodes that took."""

    force: bool = True


class GetState(Request[PersonaState]):
    """Asks a persona for its state, as of all that was sent to it before."""


class FellBack(Message):
    """Published on the topic `PERSONAS` when a fallback has decided."""

    who: str
    label: str
    reason: str


PERSONAS = "personas"
"""The topic on which persona agents publish."""

Sensed = Listen | See | Think | Meet | Move | Pursue


class Line(msgspec.Struct, frozen=True):
    """Something that was said."""

    speaker: str
    text: str
    target: str = ""
    """To whom, if not to all."""
    number: int = 0
    """Counted from 1."""
    details: dict[str, Any] = {}
    """What else is known of it."""


class Transcript(msgspec.Struct, frozen=True):
    """What was said between several."""

    lines: tuple[Line, ...]
    ended: str = ""
    """Why it ended."""

    def __str__(self) -> str:
        return "\n".join(f"{line.speaker}: {line.text}" for line in self.lines)
