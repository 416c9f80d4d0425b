"""The parts of a process, and the folders of runs, that a console shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from coterie.concurrency import Rank, new_lock
from coterie.conversation import Conversations, StoredConversations
from coterie.errors import CoterieError, InvalidSetting
from coterie.meetings import Meetings
from coterie.memory import TieredMemory
from coterie.models import ModelGateway
from coterie.rounds import Simulation
from coterie.runtime import Runtime


@runtime_checkable
class ShownCluster(Protocol):
    """A cluster as the console needs it; a `Cluster` is one. The console needs no extra of it."""

    def nodes(self) -> Any:
        """Return the members."""
        ...

    def status(self) -> dict[str, Any]:
        """Return the state of each node."""
        ...

    def drain(self, name: str) -> None:
        """Drain a node, and stop it."""
        ...


_KINDS: tuple[type[Any], ...] = (
    Runtime,
    Simulation,
    Conversations,
    StoredConversations,
    TieredMemory,
    Meetings,
    ModelGateway,
    ShownCluster,
)
_FILE = "conversations.db"
"""The store of an assistant, in its folder."""
_MOST_FILES = 20
"""Stores of the folders that are read, those that were changed last."""


class Sources:
    """The things to show, by kind and name. Safe from any thread: `_lock` guards the table, which is replaced as a whole."""

    def __init__(self, runs: Iterable[Path]) -> None:
        self.places = tuple(runs)
        """Folders of runs, and folders in which such folders are."""
        self._lock = new_lock(Rank.RECORDS)
        self._things: dict[tuple[str, str], Any] = {}
        self._files: dict[Path, StoredConversations] = {}

    def add(self, thing: object, name: str = "") -> str:
        """Show a thing under a name, by default one of its own, and return the name. Raises `InvalidSetting`."""
        if not isinstance(thing, _KINDS):
            raise InvalidSetting("Console.show", thing, f"one of {', '.join(kind.__name__ for kind in _KINDS)}")
        wanted = name or (thing.node if isinstance(thing, Runtime) else type(thing).__name__.lower())
        with self._lock:
            held = next((key for key, each in self._things.items() if each is thing), None)
            if held is not None:
                return held[1]
            chosen, number = wanted, 2
            while (type(thing).__name__, chosen) in self._things:
                chosen, number = f"{wanted}~{number}", number + 1
            self._things = {**self._things, (type(thing).__name__, chosen): thing}
        return chosen

    def remove(self, thing: object) -> None:
        """Show a thing no longer."""
        with self._lock:
            self._things = {key: each for key, each in self._things.items() if each is not thing}

    def of(self, kind: type[Any]) -> dict[str, Any]:
        """Return the things of a kind, by name."""
        return {name: each for (_, name), each in self._things.items() if isinstance(each, kind)}

    def hosts(self) -> tuple[dict[str, Conversations | StoredConversations], list[str]]:
        """Return the hosts of conversations by name, and the stores in the folders; and a sentence for each that is unreadable."""
        found: dict[str, Conversations | StoredConversations] = {**self.of(Conversations), **self.of(StoredConversations)}
        problems = []
        known = {each.store for each in found.values()}
        for path in self._stores():
            if str(path) in known:
                continue
            try:
                store = self._opened(path)
            except (CoterieError, OSError) as error:
                problems.append(str(error))
                continue
            chosen, number = path.parent.name, 2
            while chosen in found:
                chosen, number = f"{path.parent.name}~{number}", number + 1
            found[chosen] = store
        return found, problems

    def _stores(self) -> list[Path]:
        paths = {each.resolve() for place in self.places for each in (place / _FILE, *place.glob(f"*/{_FILE}"))}
        changed = []
        for path in paths:
            try:
                changed.append((path.stat().st_mtime, path))
            except OSError:
                continue  # it is not there, or not any more
        return [path for _, path in sorted(changed, reverse=True)[:_MOST_FILES]]

    def _opened(self, path: Path) -> StoredConversations:
        with self._lock:
            there = self._files.get(path)
        if there is not None:
            return there
        made = StoredConversations(path)
        with self._lock:
            kept = self._files.setdefault(path, made)
        if kept is not made:
            made.close()
        return kept

    def close(self) -> None:
        """Close the stores of the folders."""
        with self._lock:
            files, self._files = list(self._files.values()), {}
        for each in files:
            each.close()

    def runtimes(self) -> dict[str, Runtime]:
        """Return the runtimes that were shown, and those of simulations and conversations, by name."""
        found: dict[str, Runtime] = self.of(Runtime)
        for name, simulation in self.of(Simulation).items():
            if simulation.runtime is not None:
                found[f"{name} agents"] = simulation.runtime
        known = {id(each) for each in found.values()}
        for name, conversations in self.of(Conversations).items():
            if id(conversations.runtime) not in known:
                found[f"{name} agents"] = conversations.runtime
        return found
