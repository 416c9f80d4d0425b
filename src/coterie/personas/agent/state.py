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
    """All actions, also refused and failed ones."""
    refused: int = 0
    """Actions that were not possible."""
    failed: int = 0
    """Actions that raised."""
    episodes: int = 0
    """Episodes started."""
    decisions: int = 0
    """Decisions of the mind."""
    fallbacks: int = 0
    """Decisions of a fallback."""
    overlooked: int = 0
    """Stimuli dropped before a decision, because too many waited."""
    changes: int = 0
    """Replacements of the mental state."""


class PersonaState(msgspec.Struct, frozen=True):
    """The whole state of a persona agent at one moment. Immutable: other threads read one state or the next, never a mix."""

    mental_state: MentalState = MentalState()
    counts: PersonaCounts = PersonaCounts()
    location: str = ""
    pending: tuple[Stimulus, ...] = ()
    """Stimuli since the last decision, oldest first."""
    actions: tuple[ActionRecord, ...] = ()
    """The latest actions, oldest first, up to the size of the buffer."""
    notes: tuple[str, ...] = ()
    """The memories if the runtime has no memory, oldest first."""
    mark: str = ""
    """The id of the latest memory if the runtime has a memory; only in a snapshot."""
    mind: Any = None
    """The state of the mind, if it has one; only in a snapshot."""

    def __deepcopy__(self, memo: object) -> PersonaState:
        return self


# Built at import, by one thread: msgspec must not build decoders of one class in two threads (see kernel.codec).
_KNOWN = msgspec.msgpack.Decoder(PersonaState)


class EndReason(enum.StrEnum):
    """The reason for which an episode ended."""

    DONE = "done"
    """The mind took an action that ends the episode."""
    NOTHING = "nothing"
    """The mind decided on no action."""
    STEPS = "steps"
    """The maximum number of steps was reached."""
    REPEATED = "repeated"
    """The mind repeated itself."""


class Episode(msgspec.Struct, frozen=True):
    """One episode: its actions and the reason for its end."""

    who: str
    number: int
    """Counted from 1, by agent."""
    records: tuple[ActionRecord, ...]
    ended: EndReason
    steps: int
    """The number of decisions."""
    fallbacks: tuple[str, ...] = ()
    """The reason of each decision by a fallback."""
    attempts: int = 0
    """Attempts of the mind, over all steps."""

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
