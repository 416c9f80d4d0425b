"""Selections of agents over a view: by type, by a condition, or drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from coterie.kernel import check_number
from coterie.runtime import AgentRef


class Selection(Sequence[str]):
    """The names of some agents, in order, with the view on which they are chosen. Immutable.

    ::

        rich = turn.everyone.of("trader").where(lambda name: turn.view[f"coins/{name}"] > 3)
        for name in rich.sample(2): ...
    """

    __slots__ = ("_random", "_types", "names", "view")

    def __init__(
        self, names: Sequence[str], view: Mapping[str, Any], types: Mapping[str, str], random: Callable[[], Random]
    ) -> None:
        self.names = names
        """The names, in the order of names unless they are sorted otherwise."""
        self.view = view
        self._types = types
        self._random = random

    def of(self, *types: str | type) -> Selection:
        """Return the agents of these types: names of types, or classes of agents."""
        wanted = {kind if isinstance(kind, str) else kind.__name__ for kind in types}
        known = self._types
        return self._with([name for name in self.names if known.get(name) in wanted])

    def where(self, condition: Callable[[str], object]) -> Selection:
        """Return the agents whose name satisfies a condition."""
        return self._with([name for name in self.names if condition(name)])

    def without(self, *names: str) -> Selection:
        """Return the other agents."""
        gone = set(names)
        return self._with([name for name in self.names if name not in gone])

    def sample(self, count: int) -> Selection:
        """Return `count` different agents, drawn from the stream of the turn; all in a random order if there are not so many."""
        check_number("Selection.sample.count", count, whole=True)
        return self._with(self._random().sample(list(self.names), min(int(count), len(self.names))))

    def one(self) -> str | None:
        """Return an agent, drawn from the stream of the turn; None if there is none."""
        return self.names[self._random().randrange(len(self.names))] if self.names else None

    def shuffled(self) -> Selection:
        """Return the agents in an order drawn from the stream of the turn."""
        return self.sample(len(self.names))

    def by(self, key: Callable[[str], Any], *, reverse: bool = False) -> Selection:
        """Return the agents sorted by a function of their names; equal ones keep their order."""
        return self._with(sorted(self.names, key=key, reverse=reverse))

    def values(self, prefix: str, default: Any = None) -> list[Any]:
        """Return the values of the keys ``prefix/name``, with `default` for those that are missing."""
        return [self.view.get(f"{prefix}/{name}", default) for name in self.names]

    def groups(self, key: Callable[[str], Any]) -> dict[Any, Selection]:
        """Return the agents grouped by a function of their names, in the order of the groups' first agents."""
        found: dict[Any, list[str]] = {}
        for name in self.names:
            found.setdefault(key(name), []).append(name)
        return {group: self._with(names) for group, names in found.items()}

    def __getitem__(self, place: Any) -> Any:
        return self._with(self.names[place]) if isinstance(place, slice) else self.names[place]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"<Selection of {len(self.names)} agents>"

    def _with(self, names: Sequence[str]) -> Selection:
        return Selection(names, self.view, self._types, self._random)


class Roster:
    """The agents of a round, and their types, which are worked out when they are first asked for. Immutable for its readers."""

    __slots__ = ("_agents", "_members", "_types", "names")

    def __init__(
        self,
        names: Sequence[str],
        agents: Mapping[str, Any],
        members: Mapping[str, Sequence[str]],
        types: dict[str, str] | None = None,
    ) -> None:
        self.names = sorted([*names, *(each for group in members.values() for each in group)]) if members else names
        """Sorted."""
        self._agents = agents
        self._members = members
        self._types = types

    @property
    def types(self) -> Mapping[str, str]:
        """The types of the agents, by name."""
        if self._types is None:
            # Two threads may do this at the same time, with the same result.
            types = {name: type_of(name, self._agents.get(name)) for name in self.names}
            for group, names in self._members.items():
                types.update(dict.fromkeys(names, group))
            self._types = types
        return self._types

    def immortal(self, name: str) -> str:
        """Return why an agent cannot die, or an empty text."""
        if name not in self.types:
            return "no agent of this name takes part in the round"
        if not self._members or self._members.get(self.types[name]) is None or name in self._agents:
            return ""
        return "it is one of a group, which keeps its agents; note it in a column, or give group.names to the simulation"


NOBODY = Roster((), {}, {})


def type_of(name: str, agent: Any) -> str:
    """Return the type of an agent: the class of an object, the name of a function.

    The type of a name alone is the part before its first hyphen, or ``agent`` without one.
    """
    if agent is None or isinstance(agent, AgentRef):
        kind, hyphen, _ = name.partition("-")
        return kind if hyphen else "agent"
    return str(getattr(agent, "__name__", type(agent).__name__))
