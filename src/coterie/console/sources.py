"""The parts of a process, and the folders of runs, that a console shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from coterie.concurrency import Rank, new_lock
from coterie.conversation import Conversations
from coterie.errors import InvalidSetting
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


_KINDS: tuple[type[Any], ...] = (Runtime, Simulation, Conversations, TieredMemory, Meetings, ModelGateway, ShownCluster)


class Sources:
    """The things to show, by kind and name. Safe from any thread: `_lock` guards the table, which is replaced as a whole."""

    def __init__(self, runs: Iterable[Path]) -> None:
        self.places = tuple(runs)
        """Folders of runs, and folders in which such folders are."""
        self._lock = new_lock(Rank.RECORDS)
        self._things: dict[tuple[str, str], Any] = {}

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
