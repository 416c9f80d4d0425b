"""Collect data of a simulation, round after round, into tables.

A reporter is a function of immutable views and events, which runs between rounds, so that collecting never changes an outcome.
The tables follow from the log alone: of a resumed run, or for reporters that are given later, they are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec

from coterie.errors import InvalidSetting, describe
from coterie.errors.rounds import CollectFailed
from coterie.kernel import check_instance
from coterie.rounds.graph import Graph
from coterie.rounds.groups import AgentGroup
from coterie.rounds.recorded import INTERLEAVING, JOINED, LEFT, OUTSIDE, ROUND
from coterie.rounds.selection import type_of
from coterie.tables import DataTable
from coterie.tables.columns import GrowingColumn, plain
from coterie.world import Event, EventLog, ExternalEvent, View
from coterie.world.state.event import EMPTY, Fold

_BOOKKEEPING = (INTERLEAVING, JOINED, LEFT, OUTSIDE, ROUND)
"""Events of the engine that reporters do not see."""

Level: TypeAlias = Literal["round", "agent", "type", "stage"]


class Reporter(msgspec.Struct, frozen=True, eq=False):
    """A function that gives the values of one column, and the table of that column."""

    by: Level
    function: Callable[..., Any]


def by_round(function: Callable[[View, Sequence[Event]], Any]) -> Reporter:
    """Collect a value of each round: `function` takes the view after the round, and its events."""
    return Reporter("round", function)


def by_agent(function: Callable[[View, str], Any] | str) -> Reporter:
    """Collect a value of each agent and round: `function` takes the view after the round, and the agent's name.

    A text is a key of the world, such as ``coins/{agent}``.
    """
    if isinstance(function, str):
        key = function
        return Reporter("agent", lambda view, name: view.get(key.replace("{agent}", name)))
    return Reporter("agent", function)


def by_type(function: Callable[[View, Sequence[str]], Any]) -> Reporter:
    """Collect a value of each type of agents and round: `function` takes the view, and the names of the type's agents."""
    return Reporter("type", function)


def by_stage(function: Callable[[View, Sequence[Event]], Any]) -> Reporter:
    """Collect a value of each stage and round: `function` takes the view after the outcomes of the stage's intents, and these."""
    return Reporter("stage", function)


Collect: TypeAlias = Mapping[str, Reporter | Callable[[View], Any] | str]
"""The columns to collect, by name: a function of the view after each round, a key of the world, or a `Reporter`."""


def reporters_of(collect: Any) -> dict[str, Reporter]:
    """Return the reporters by the names of their columns. Raises `InvalidSetting`."""
    check_instance("Simulation.collect", collect, (Mapping, type(None)), 'a mapping of names to functions: {"gini": f}')
    made: dict[str, Reporter] = {}
    for name, given in (collect or {}).items():
        where = f"Simulation.collect[{name!r}]"
        if not isinstance(name, str) or not name or name in ("round", "agent", "type", "stage", "agents"):
            raise InvalidSetting(where, name, "a name that is not empty, and none of round, agent, type, stage and agents")
        if isinstance(given, Reporter):
            made[name] = given
        elif isinstance(given, str):
            made[name] = Reporter("round", partial(_value_of, given))
        elif callable(given):
            made[name] = Reporter("round", partial(_without_events, given))
        else:
            raise InvalidSetting(where, given, "a function of a view, a key of the world, or by_agent(...), by_type(...), ...")
        if not callable(made[name].function):
            raise InvalidSetting(where, made[name].function, "a function")
    return made


class DataCollector:
    """Fill the tables of a simulation. Used by the thread that runs it."""

    def __init__(self, reporters: Mapping[str, Reporter], graph: Graph, agents: Mapping[str, Any]) -> None:
        self._reporters = {by: {n: r for n, r in reporters.items() if r.by == by} for by in ("round", "agent", "type", "stage")}
        self._stages = [stage.name for stage in graph.stages]
        self._types = {name: type_of(name, agent) for name, agent in agents.items()} if reporters else {}
        self._groups = {name: agent.names for name, agent in agents.items() if reporters and isinstance(agent, AgentGroup)}
        for group, names in self._groups.items():
            self._types.update(dict.fromkeys(names, group))
        self._columns: dict[str, dict[str, GrowingColumn]] = {}
        for by, several in self._reporters.items():
            if several:
                keys = {"agent": ("round", "agent", "type"), "type": ("round", "type", "agents"), "stage": ("round", "stage")}
                self._columns[by] = {name: GrowingColumn() for name in (*keys.get(by, ("round",)), *several)}
        self._joined: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._round: tuple[Sequence[Event], Sequence[tuple[View, Sequence[Event]]]] = ((), ())
        self._failed: list[tuple[int, View, Any]] = []
        """Settled rounds whose rows are missing because a reporter raised; they are tried again."""

    @property
    def active(self) -> bool:
        """Whether there is anything to collect."""
        return bool(self._columns)

    def changed(self, notes: Iterable[ExternalEvent | Event]) -> None:
        """Note the agents that join and leave."""
        for note in notes:
            if note.kind == JOINED:
                self._joined[note.agent] = note.round
                self._left.pop(note.agent, None)
            elif note.kind == LEFT:
                self._left[note.agent] = note.round

    def ended(self, events: Sequence[Event], commits: Sequence[tuple[View, Sequence[Event]]]) -> None:
        """Note the events of a settled round, and its commits with the views before them."""
        if self.active:
            self._round = ([event for event in events if event.kind not in _BOOKKEEPING], commits)

    def collect(self, number: int, view: View) -> None:
        """Add the rows of a settled round, all or none, and of earlier rounds that failed.

        Raises `CollectFailed`, which names the column, the round and the agent.
        """
        if not self.active:
            return
        due = [*self._failed, (number, view, self._round)]
        self._round = ((), ())
        self._failed = due
        for each in due:
            self._add(*each)
            self._failed = self._failed[1:]

    def _type(self, name: str) -> str:
        """Return the type of an agent; one that was born has no object here, and its name tells it."""
        found = self._types.get(name)
        return found if found is not None else type_of(name, None)

    def _add(self, number: int, view: View, settled: tuple[Sequence[Event], Sequence[tuple[View, Sequence[Event]]]]) -> None:
        events, commits = settled
        members = self._members(number) if self._reporters["agent"] or self._reporters["type"] else []
        members = [each for name in members for each in self._groups.get(name, (name,))]
        names_of: dict[str, list[str]] = {}
        for name in members if self._reporters["type"] else ():
            names_of.setdefault(self._type(name), []).append(name)
        subjects: dict[str, Iterable[tuple[dict[str, Any], str, tuple[Any, ...]]]] = {
            "round": [({}, "", (view, events))],
            "agent": (({"agent": name, "type": self._type(name)}, f"the agent {name}", (view, name)) for name in members),
            "type": (
                ({"type": kind, "agents": len(names)}, f"the type {kind}", (view, tuple(names)))
                for kind, names in sorted(names_of.items())
            ),
            "stage": (
                ({"stage": stage}, f"the stage {stage}", (seen, outcomes))
                for stage, seen, outcomes in self._by_stage(number, view, commits)
            ),
        }
        rows = [
            (by, {"round": number, **keys, **self._values(self._reporters[by], number, about, *given)})
            for by in self._columns
            for keys, about, given in subjects[by]
        ]
        for by, row in rows:
            for column, value in row.items():
                self._columns[by][column].append(value)

    def _members(self, number: int) -> list[str]:
        """Return the agents that take part in a round, sorted."""
        return sorted(name for name, joined in self._joined.items() if joined <= number < self._left.get(name, number + 1))

    def fill(self, log: EventLog, until: int | None = None) -> None:
        """Add the rows of the settled rounds of a log, up to round `until`. Raises `CollectFailed`."""
        if not self.active:
            return
        view = EMPTY
        events: dict[int, list[Event]] = {}
        commits: dict[int, list[tuple[View, Sequence[Event]]]] = {}
        for event in log.events():
            if event.kind == ROUND:
                self.ended(events.pop(event.round, []), commits.pop(event.round, []))
                self.collect(event.round, view)
                if until is not None and event.round >= until:
                    return
            self.changed((event,))
            if event.round:
                events.setdefault(event.round, []).append(event)
            if event.action and self._reporters["stage"]:
                commits.setdefault(event.round, []).append((view, (event,)))
            folded = Fold(view)
            folded.apply(event)
            view = folded.view()

    def tables(self) -> dict[str, DataTable]:
        """Return the tables so far."""
        return {by: DataTable(columns) for by, columns in self._columns.items()}

    def _values(self, several: Mapping[str, Reporter], number: int, about: str, *given: Any) -> dict[str, Any]:
        values = {}
        for name, reporter in several.items():
            try:
                values[name] = plain(reporter.function(*given))
            except Exception as error:
                raise CollectFailed(name, number, about, describe(error)) from error
        return values

    def _by_stage(
        self, number: int, view: View, commits: Sequence[tuple[View, Sequence[Event]]]
    ) -> list[tuple[str, View, tuple[Event, ...]]]:
        """Return each stage with the view after the last outcome of its intents, and these outcomes."""
        outcomes: dict[int, list[Event]] = {}
        views: dict[int, View] = {}
        for before, events in commits:
            folded = Fold(before)
            for place, event in enumerate(events):
                folded.apply(event)
                if event.action and event.round == number:
                    outcomes.setdefault(event.stage, []).append(event)
                    following = events[place + 1] if place + 1 < len(events) else None
                    if following is None or following.stage != event.stage or not following.action:
                        views[event.stage] = folded.view()
                        folded = Fold(views[event.stage])
        rows = []
        seen = commits[0][0] if commits else view
        for place, name in enumerate(self._stages):
            seen = views.get(place, seen)
            rows.append((name, seen, tuple(outcomes.get(place, ()))))
        return rows


def _value_of(key: str, view: View, events: Sequence[Event]) -> Any:  # noqa: ARG001 - as every reporter of a round
    return view.get(key)


def _without_events(function: Callable[[View], Any], view: View, events: Sequence[Event]) -> Any:  # noqa: ARG001 - as above
    return function(view)
