"""The protocols that actions of a persona use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from coterie.personas.mind.state import ActionResult, PersonaAction
from coterie.personas.profile.persona import Persona
from coterie.rounds import Turn


class OutputChannel(Protocol):
    """Carries speech of a persona to others. Used on the persona's own thread, for one episode."""

    def accessible(self) -> Mapping[str, str]:
        """Return the accessible names, each with its relation to the persona."""
        ...

    async def talk(self, action: PersonaAction) -> ActionResult:
        """Deliver speech to the target of the action, or to all accessible personas."""
        ...

    async def reach_out(self, action: PersonaAction) -> ActionResult:
        """Make a persona accessible."""
        ...


class PersonaMemory(Protocol):
    """The memories of a persona. For the agent's own thread, except `consolidate`."""

    def remember(self, text: str, kind: str, importance: float = 0.5) -> str:
        """Store a memory; return its id."""
        ...

    def remember_all(self, texts: Sequence[tuple[str, str]]) -> None:
        """Store several memories, each a text and its kind, in their order."""
        ...

    def recent(self, limit: int) -> tuple[str, ...]:
        """Return the latest memories, oldest first."""
        ...

    def recall(self, question: str, limit: int) -> tuple[str, ...]:
        """Return the best matches for a question, best first."""
        ...

    def consolidate(self, *, force: bool) -> int:
        """Consolidate memories; return the number of episodes consolidated. Safe from any thread."""
        ...

    def mark(self) -> str:
        """Return a mark of this moment, for `go_back`."""
        ...

    def go_back(self, mark: str) -> None:
        """Delete all memories after a mark."""
        ...


class ActionContext(Protocol):
    """The part of a persona agent that its actions use. For the agent's own thread; valid while the action runs."""

    @property
    def who(self) -> str:
        """The name of the agent."""
        ...

    @property
    def persona(self) -> Persona:
        """The persona that acts."""
        ...

    @property
    def channel(self) -> OutputChannel:
        """The channel that carries speech to others in this episode."""
        ...

    @property
    def memory(self) -> PersonaMemory:
        """The memories of the persona."""
        ...

    @property
    def documents(self) -> Mapping[str, str]:
        """The documents that can be consulted, by name."""
        ...

    @property
    def turn(self) -> Turn | None:
        """The turn in a simulation, for actions that submit intents; None outside a simulation."""
        ...
