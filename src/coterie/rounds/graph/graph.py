"""Which stages a round has, and how agents pass from one to the next."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec

from coterie.errors import InvalidGraph
from coterie.rounds.graph.stage import Stage, Work, as_stage

Condition: TypeAlias = Callable[[Any], bool]
"""Whether an edge is taken, given the `Turn` that the agent has just ended. Pure, and quick."""

END = "end"
"""The name of what comes after the last stage of a round."""


class Edge(msgspec.Struct, frozen=True, eq=False):
    """The way from one stage to another, or to `END`, where `when` is true of the turn, or always."""

    source: str
    target: str
    when: Condition | None = None


class Graph:
    """Stages and edges, seen to be sound when it is made. Immutable.

    ::

        Graph.chain(perceive, propose, together(judge), decide)
        Graph([haggle, sell], [Edge("haggle", "haggle", when=undecided), Edge("haggle", "sell")])

    A round begins at the first stage, or at `start`. Of the edges that leave a stage the first whose condition is true
    is taken; where there is none, the round ends for that agent. Raises `InvalidGraph`, with a line for each fault: names
    that are unknown or used twice, stages that nobody can come to, edges that are never taken, circles without a way
    out.
    """

    def __init__(self, stages: Iterable[Stage | Work | str], edges: Iterable[Edge] = (), *, start: str | None = None) -> None:
        for what, given in (("stages", stages), ("edges", edges)):
            if isinstance(given, str) or not isinstance(given, Iterable):
                raise InvalidGraph([f"the {what} are {given!r}; give several, in a list"])
        self.stages = tuple(as_stage(stage) for stage in stages)
        self.edges = tuple(edges)
        if wrong := [problem for edge in self.edges if (problem := _problem_of_edge(edge))]:
            raise InvalidGraph(wrong)
        self.places = {stage.name: place for place, stage in enumerate(self.stages)}
        """The place of each stage, by its name: the order in which what was intended counts."""
        self.start = start if start is not None else (self.stages[0].name if self.stages else END)
        self.conditional = frozenset(edge.source for edge in self.edges if edge.when is not None)
        """The stages that a condition leads on from."""
        problems = list(self._problems())
        if problems:
            raise InvalidGraph(problems)

    @classmethod
    def chain(cls, *stages: Stage | Work | str) -> Graph:
        """Return the graph in which each stage leads to the next."""
        made = [as_stage(stage) for stage in stages]
        return cls(made, [Edge(one.name, other.name) for one, other in pairwise(made)])

    def __repr__(self) -> str:
        return f"<Graph of {', '.join(stage.name for stage in self.stages)}>"

    def stage(self, name: str) -> Stage:
        """Return the stage of that name."""
        return self.stages[self.places[name]]

    def next(self, name: str, turn: Any) -> str:
        """Return where a turn that has ended in stage `name` leads. Raises what a condition raises."""
        for edge in self.edges:
            if edge.source == name and (edge.when is None or edge.when(turn)):
                return edge.target
        return END

    def may_be_last(self, name: str) -> bool:
        """Return whether a round can end after a stage without another stage that is done per agent."""
        seen = {name}
        ahead = [name]
        while ahead:
            for target in self._ways(ahead.pop()):
                if target == END:
                    return True
                if target not in seen and self.stage(target).together:
                    seen.add(target)
                    ahead.append(target)
        return False

    def _ways(self, name: str) -> list[str]:
        """Return where a stage can lead."""
        ways = []
        for edge in self.edges:
            if edge.source == name:
                ways.append(edge.target)
                if edge.when is None:
                    return ways
        return [*ways, END]

    def _problems(self) -> Iterator[str]:
        if not self.stages:
            yield "it has no stage; give at least one"
            return
        for name, count in Counter(stage.name for stage in self.stages).items():
            if count > 1:
                yield f"the stage {name!r} is there {count} times; give each a name of its own"
            if not name or not isinstance(name, str):
                yield f"a stage is named {name!r}; names are text that is not empty"
            if name == END:
                yield f"a stage cannot be named {END!r}, which is what comes after the last"
        unknown = list(self._unknown())
        yield from unknown
        if unknown:
            return
        yield from self._never_taken()
        reached = self._reach(self.start)
        for stage in self.stages:
            if stage.name not in reached:
                yield f"nobody can come to the stage {stage.name!r} from {self.start!r}; add an edge, or leave it out"
            elif END not in self._reach(stage.name):
                yield f"from {stage.name!r} there is no way out of a circle; add an edge to {END!r}, or a condition"

    def _unknown(self) -> Iterator[str]:
        known = [*self.places, END]
        if self.start not in self.places:
            yield f"it starts at {self.start!r}, which is no stage; there are {', '.join(self.places)}"
        for edge in self.edges:
            for name in (edge.source, edge.target):
                if name == END and name is edge.source:
                    yield f"an edge leads from {END!r}, and {END!r} is no stage but what comes after the last; leave it out"
                elif name not in known:
                    close = difflib.get_close_matches(name, known, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(self.places)}"
                    yield f"an edge leads from {edge.source!r} to {edge.target!r}, and {name!r} is no stage; {hint}"

    def _never_taken(self) -> Iterator[str]:
        closed: set[str] = set()
        for edge in self.edges:
            if edge.source in closed:
                yield (
                    f"the edge from {edge.source!r} to {edge.target!r} is never taken, for one before it has no condition; "
                    "put it first, or leave it out"
                )
            elif edge.when is None:
                closed.add(edge.source)

    def _reach(self, name: str) -> set[str]:
        found: set[str] = set()
        ahead = [name]
        while ahead:
            for target in self._ways(ahead.pop()):
                if target not in found:
                    found.add(target)
                    if target != END:
                        ahead.append(target)
        return found | ({name} if name == self.start else set())


def _problem_of_edge(edge: Any) -> str:
    if not isinstance(edge, Edge):
        return f"{edge!r} is no edge; write Edge(source, target), with names"
    names: tuple[Any, ...] = (edge.source, edge.target)
    if not all(isinstance(name, str) for name in names):
        return f"an edge leads from {edge.source!r} to {edge.target!r}; both are names of stages, as text"
    when: Any = edge.when
    if when is not None and not callable(when):
        return f"the condition of the edge from {edge.source!r} to {edge.target!r} is {edge.when!r}; give a function of a turn"
    return ""
