"""The directory of the personas of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from coterie.concurrency import Rank, new_lock
from coterie.errors import PersonaUnknown
from coterie.kernel import check_instance
from coterie.personas.agent.relations import Relations
from coterie.personas.agent.state import PersonaState
from coterie.runtime import AgentRef


class PersonaDirectory:
    """Relations, references by name, the latest state of each persona, and documents. Safe from any thread.

    Given to a runtime by `runtime.provide(PersonaDirectory())`; `Population` does it. A state is a frozen value, and each persona's own
    thread puts a new one in place of the last by one assignment: who reads it, without a lock, sees one or the other.
    """

    def __init__(self, relations: Relations | None = None, documents: Mapping[str, str] | None = None) -> None:
        self.relations = relations if relations is not None else Relations()
        for name, text in (documents or {}).items():
            check_instance(f"PersonaDirectory.documents[{name!r}]", text, str, "text")
        self.documents: Mapping[str, str] = MappingProxyType(dict(documents or {}))
        """What can be consulted, by name."""
        self._lock = new_lock(Rank.RECORDS)  # guards the changing of who there is
        self._references: Mapping[str, AgentRef] = {}
        self._states: dict[str, PersonaState] = {}

    def enter(self, reference: AgentRef) -> None:
        """Add an agent under its name."""
        with self._lock:
            self._references = {**self._references, reference.name: reference}

    def leave(self, reference: AgentRef) -> None:
        """Remove an agent; its last state stays."""
        with self._lock:
            if self._references.get(reference.name) == reference:
                self._references = {name: each for name, each in self._references.items() if each != reference}

    def find(self, name: str) -> AgentRef:
        """Return the reference of a persona, by its name or, where no name is, by its name in other letters.

        Raises `PersonaUnknown`.
        """
        known = self._references
        if name in known:
            return known[name]
        folded = [each for each in known if each.casefold() == name.casefold().strip()]
        if len(folded) == 1:
            return known[folded[0]]
        raise PersonaUnknown(name, sorted(known))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all personas, sorted."""
        return tuple(sorted(self._references))

    def publish(self, name: str, state: PersonaState) -> None:
        """Put a persona's new state in place of its last. Called by its own agent alone."""
        self._states[name] = state

    def state(self, name: str) -> PersonaState:
        """Return the latest state of a persona. Raises `PersonaUnknown`."""
        state = self._states.get(name)
        if state is None:
            raise PersonaUnknown(name, sorted(self._states))
        return state

    def __deepcopy__(self, memo: object) -> PersonaDirectory:
        return self
