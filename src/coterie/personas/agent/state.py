"""The state of a persona agent: one frozen value, replaced as a whole by the agent's own thread."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from coterie.personas.mind.state import TALK, ActionOutcome, ActionRecord, MentalState, Stimulus


class PersonaCounts(msgspec.Struct, frozen=True):
    """The exact counts of a persona agent."""

    stimuli: int = 0
    actions: int = 0
    """All that it took, whether or not that was possible."""
    refused: int = 0
    """Actions that were not possible."""
    failed: int = 0
    """Actions that raised."""
    episodes: int = 0
    """Episodes that were begun."""
    decisions: int = 0
    """Times that its mind was asked."""
    fallbacks: int = 0
    """Decisions that were made by a fallback."""
    overlooked: int = 0
    """Stimuli that were never decided on, because too many waited."""
    changes: int = 0
    """Times that its mental state was replaced."""


class PersonaState(msgspec.Struct, frozen=True):
    """All of a persona agent at one moment. Immutable: readers on other threads see one state or the next, never a mix."""

    mental_state: MentalState = MentalState()
    counts: PersonaCounts = PersonaCounts()
    location: str = ""
    pending: tuple[Stimulus, ...] = ()
    """What has come and was not decided on yet, oldest first."""
    actions: tuple[ActionRecord, ...] = ()
    """The latest actions, oldest first, up to the size of the buffer."""
    notes: tuple[str, ...] = ()
    """What it remembers where the runtime has no memory, oldest first."""
    mark: str = ""
    """The id of its latest memory where the runtime has one; only in a snapshot."""
    mind: Any = None
    """The state of its mind, if that has one; only in a snapshot."""

    def __deepcopy__(self, memo: object) -> PersonaState:
        return self


# msgspec crashes where threads learn of a class for the first time at once; here one thread does, while it imports this.
_KNOWN = msgspec.msgpack.Decoder(PersonaState)


class EndReason(enum.StrEnum):
    """The reason for which an episode ended."""

    DONE = "done"
    """The persona said that it had nothing more to do."""
    NOTHING = "nothing"
    """It decided on no action at all."""
    STEPS = "steps"
    """It had taken as many steps as it may."""
    REPEATED = "repeated"
    """It was about to do again what it had just done."""


class Episode(msgspec.Struct, frozen=True):
    """One episode: its actions and the reason for its end."""

    who: str
    number: int
    """Counted from 1, by agent."""
    records: tuple[ActionRecord, ...]
    ended: EndReason
    steps: int
    """How often the mind was asked."""
    fallbacks: tuple[str, ...] = ()
    """Why a fallback decided, once for each time that it did."""
    attempts: int = 0
    """How often the mind had to try, over all steps."""

    @property
    def said(self) -> tuple[str, ...]:
        """The texts said in it, without repeats."""
        return tuple(
            each.action.content for each in self.records if each.action.kind == TALK and each.outcome is ActionOutcome.DONE
        )

    @property
    def text(self) -> str:
        """The speech of the episode as one text."""
        return "\n".join(self.said)
