"""The directory of the personas of a runtime, with their relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import immutables
import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import InvalidSetting
from coterie.errors.personas import PersonaUnknown
from coterie.kernel import check_instance
from coterie.personas.agent.state import PersonaState
from coterie.personas.library import Library
from coterie.runtime import AgentRef


class Relation(msgspec.Struct, frozen=True):
    """The relation of two personas. Both sides read the same record."""

    first: str
    """The one whose name sorts first."""
    second: str
    of_first: str
    """The role of the second for the first."""
    of_second: str
    """The role of the first for the second."""
    version: int = 1
    """The number of changes of all relations at the time of this one."""

    def other(self, name: str) -> str:
        """Return the name of the other side."""
        return self.second if name == self.first else self.first

    def seen_by(self, name: str) -> str:
        """Return the role of the other side for `name`."""
        return self.of_first if name == self.first else self.of_second


# Built at import, by one thread: msgspec must not build decoders of one class in two threads (see kernel.codec).
_KNOWN = msgspec.msgpack.Decoder(Relation)


class RelationsView(Mapping[str, Mapping[str, Relation]]):
    """All relations at one moment, by name and by the other's name. Immutable: both sides of each are the same record."""

    __slots__ = ("_all",)

    def __init__(self, relations: immutables.Map[str, immutables.Map[str, Relation]]) -> None:
        self._all = relations

    def __getitem__(self, name: str) -> Mapping[str, Relation]:
        return self._all.get(name, _NOBODY)

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def accessible(self, name: str) -> dict[str, str]:
        """Return the names that `name` can talk to, sorted, each with its relation to `name`."""
        return {other: relation.seen_by(name) for other, relation in sorted(self[name].items())}


_NOBODY: immutables.Map[str, Relation] = immutables.Map()


class Relations:
    """The relations of all personas of a runtime. Safe from any thread.

    ::

        relations.relate("ada", "ben", "old friends")
        relations.relate("ada", "cleo", "my boss", back="works for me")
        relations.accessible("ben")  # {"ada": "old friends"}

    A relation is one immutable record under both names, replaced for both at once. `_lock` serializes changes; readers take no
    lock and see all relations at one moment.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)  # guards changes of the fields below
        self._all: immutables.Map[str, immutables.Map[str, Relation]] = immutables.Map()
        self._changes = 0

    def relate(self, one: str, other: str, description: str = "", *, back: str | None = None) -> Relation:
        """Create or replace the relation of two; return it.

        `description` is the role of `other` for `one`, and `back` that of `one` for `other`, by default the same. Raises
        `InvalidSetting` if both names are equal.
        """
        for where, name in (("relate.one", one), ("relate.other", other)):
            check_instance(where, name, str, "a name")
            if not name:
                raise InvalidSetting(where, name, "a name")
        check_instance("relate.description", description, str, "text")
        check_instance("relate.back", back, (str, type(None)), "text, or None")
        if one == other:
            raise InvalidSetting("relate.other", other, "another name: a persona has no relation to itself")
        first, second = sorted((one, other))
        ours, theirs = description, description if back is None else back
        of_first, of_second = (ours, theirs) if first == one else (theirs, ours)
        with self._lock:
            self._changes += 1
            relation = Relation(first, second, of_first, of_second, self._changes)
            known = self._all
            for name, whom in ((first, second), (second, first)):
                known = known.set(name, known.get(name, _NOBODY).set(whom, relation))
            self._all = known
        return relation

    def separate(self, one: str, other: str) -> bool:
        """Delete the relation of two; return whether there was one."""
        with self._lock:
            known = self._all
            if other not in known.get(one, _NOBODY):
                return False
            self._changes += 1
            for name, whom in ((one, other), (other, one)):
                known = known.set(name, known[name].delete(whom))
            self._all = known
        return True

    def forget(self, name: str) -> int:
        """Delete all relations of a name; return their number."""
        with self._lock:
            known = self._all
            others = list(known.get(name, _NOBODY))
            if name not in known:
                return 0
            self._changes += 1
            known = known.delete(name)
            for other in others:
                known = known.set(other, known[other].delete(name))
            self._all = known
        return len(others)

    def between(self, one: str, other: str) -> Relation | None:
        """Return the relation of two, or None."""
        return self._all.get(one, _NOBODY).get(other)

    def accessible(self, name: str) -> dict[str, str]:
        """Return the names that `name` can talk to, sorted, each with its relation to `name`."""
        return self.view().accessible(name)

    def view(self) -> RelationsView:
        """Return all relations as they are at this moment."""
        return RelationsView(self._all)

    @property
    def changes(self) -> int:
        """The number of changes so far."""
        return self._changes

    def __deepcopy__(self, memo: object) -> Relations:
        return self

    def snapshot(self) -> Any:
        """Return all relations as plain data."""
        with self._lock:
            view, changes = self.view(), self._changes
        return {"changes": changes, "relations": [msgspec.to_builtins(each) for each in relations_in(view)]}

    def restore(self, state: Any) -> None:
        """Restore the relations of `snapshot`."""
        known: immutables.Map[str, immutables.Map[str, Relation]] = immutables.Map()
        for relation in msgspec.convert(state["relations"], list[Relation]):
            for name, whom in ((relation.first, relation.second), (relation.second, relation.first)):
                known = known.set(name, known.get(name, _NOBODY).set(whom, relation))
        with self._lock:
            self._all = known
            self._changes = int(state["changes"])


def relations_in(view: RelationsView) -> list[Relation]:
    """Return each relation of a view once, sorted by its two names."""
    return [relation for name in sorted(view) for _, relation in sorted(view[name].items()) if name == relation.first]


class PersonaDirectory:
    """Relations, references by name, the latest state of each persona, and documents. Safe from any thread.

    Give it to a runtime by `runtime.provide(PersonaDirectory())`; `Population` does so. A state is a frozen value, which each
    persona's own thread replaces by one assignment: readers take no lock and see the old or the new one. Raises
    `InvalidSetting`.
    """

    def __init__(self, relations: Relations | None = None, documents: Mapping[str, str] | None = None) -> None:
        self.relations = relations if relations is not None else Relations()
        for name, text in (documents or {}).items():
            check_instance(f"PersonaDirectory.documents[{name!r}]", text, str, "text")
        self.documents: Mapping[str, str] = (
            documents if isinstance(documents, Library) else MappingProxyType(dict(documents or {}))
        )
        """The documents to consult, by name."""
        self._lock = new_lock(Rank.RECORDS)  # guards changes of `_references`
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
        """Return the reference of a persona by its name; if no name is equal, without regard to case.

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
        """Replace the state of a persona. Only its own agent calls this."""
        self._states[name] = state

    def state(self, name: str) -> PersonaState:
        """Return the latest state of a persona. Raises `PersonaUnknown`."""
        state = self._states.get(name)
        if state is None:
            raise PersonaUnknown(name, sorted(self._states))
        return state

    def __deepcopy__(self, memo: object) -> PersonaDirectory:
        return self
