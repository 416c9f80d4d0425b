"""The stages of a round, and the edges between them."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, TypeAlias, overload

import msgspec

from coterie.errors import InvalidGraph

Condition: TypeAlias = Callable[[Any], bool]
"""Returns whether an edge is taken, given the `Turn` that has just ended. It must be pure and quick."""

END = "end"
"""The name of the target after the last stage of a round."""


class Edge(msgspec.Struct, frozen=True, eq=False):
    """An edge from one stage to another or to `END`, taken if `when` is true of the turn, or always."""

    source: str
    target: str
    when: Condition | None = None


class Graph:
    """Stages and edges. Immutable; checked when it is made.

    ::

        Graph.chain(perceive, propose, together(judge), decide)
        Graph.chain(choose, commit, score)  # everybody chooses, then scores what all have chosen
        Graph([haggle, sell], [Edge("haggle", "haggle", when=undecided), Edge("haggle", "sell")])

    A round begins at the first stage, or at `start`. The first edge of a stage whose condition is true is taken; without
    one the round ends for that agent. Raises `InvalidGraph` with a line for each fault: names that are unknown or used
    twice, stages that cannot be reached, edges that are never taken, loops without an exit.
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
        """The position of each stage, by name. Intents are ordered by it."""
        self.start = start if start is not None else (self.stages[0].name if self.stages else END)
        self.conditional = frozenset(edge.source for edge in self.edges if edge.when is not None)
        """The stages with a conditional edge."""
        problems = list(self._problems())
        if problems:
            raise InvalidGraph(problems)

    @classmethod
    def chain(cls, *stages: Stage | Work | str) -> Graph:
        """Return the graph in which each stage leads to the next."""
        made = _numbered([as_stage(stage) for stage in stages])
        return cls(made, [Edge(one.name, other.name) for one, other in pairwise(made)])

    def __repr__(self) -> str:
        return f"<Graph of {', '.join(stage.name for stage in self.stages)}>"

    def stage(self, name: str) -> Stage:
        """Return the stage of that name."""
        return self.stages[self.places[name]]

    def next(self, name: str, turn: Any) -> str:
        """Return the target after a turn in stage `name`. Raises the errors of conditions."""
        for edge in self.edges:
            if edge.source == name and (edge.when is None or edge.when(turn)):
                return edge.target
        return END

    def may_be_last(self, name: str) -> bool:
        """Return whether a round can end after a stage without another per-agent stage."""
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
        """Return the possible targets of a stage."""
        ways = []
        for edge in self.edges:
            if edge.source == name:
                ways.append(edge.target)
                if edge.when is None:
                    return ways
        return [*ways, END]

    def _problems(self) -> Iterator[str]:
        if not self.stages:
            yield "the graph has no stage; give at least one"
            return
        for name, count in Counter(stage.name for stage in self.stages).items():
            if count > 1:
                yield f"{count} stages are named {name!r}; give each a name of its own"
            if not name or not isinstance(name, str):
                yield f"a stage is named {name!r}; a name is a text that is not empty"
            if name == END:
                yield f"a stage cannot be named {END!r}: that name stands for the end of the round"
        unknown = list(self._unknown())
        yield from unknown
        if unknown:
            return
        yield from self._never_taken()
        reached = self._reach(self.start)
        for stage in self.stages:
            if stage.name not in reached:
                yield f"the stage {stage.name!r} cannot be reached from {self.start!r}; add an edge, or leave it out"
            elif END not in self._reach(stage.name):
                yield f"the loop at {stage.name!r} has no exit; add an edge to {END!r}, or a condition"

    def _unknown(self) -> Iterator[str]:
        known = [*self.places, END]
        if self.start not in self.places:
            yield f"the start {self.start!r} is unknown; the stages are {', '.join(self.places)}"
        for edge in self.edges:
            for name in (edge.source, edge.target):
                if name == END and name is edge.source:
                    yield f"an edge leads from {END!r}, the end of the round; leave it out"
                elif name not in known:
                    close = difflib.get_close_matches(name, known, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"the stages are {', '.join(self.places)}"
                    yield f"an edge leads from {edge.source!r} to {edge.target!r}, but the stage {name!r} is unknown; {hint}"

    def _never_taken(self) -> Iterator[str]:
        closed: set[str] = set()
        for edge in self.edges:
            if edge.source in closed:
                yield (
                    f"the edge from {edge.source!r} to {edge.target!r} is never taken, because an earlier edge has no "
                    "condition; put it first, or leave it out"
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
        return f"{edge!r} is not an edge; write Edge(source, target), with names"
    names: tuple[Any, ...] = (edge.source, edge.target)
    if not all(isinstance(name, str) for name in names):
        return f"an edge leads from {edge.source!r} to {edge.target!r}; both are names of stages, as text"
    when: Any = edge.when
    if when is not None and not callable(when):
        return f"the condition of the edge from {edge.source!r} to {edge.target!r} is {edge.when!r}; give a function of a turn"
    return ""


Work: TypeAlias = Callable[[Any], Any]
"""The function of a stage: plain or ``async``, with one argument."""


class Stage(msgspec.Struct, frozen=True, eq=False):
    """A step of a round, done by each agent or once for all. Made by `per_agent` and `together`."""

    name: str
    work: Work | None
    """The function; None if each agent has a method of the stage's name, and for a commit."""
    together: bool
    """Whether all agents wait for each other before it."""
    for_all: bool = False
    """Whether it is done for all agents of a group at once, with arrays."""
    of: str = ""
    """The type of the agents that do it, which others pass over; empty for all."""
    commits: bool = False
    """Whether it only commits the intents so far, so that the next stages see their outcome."""

    def named(self, name: str) -> Stage:
        """Return the stage under another name, so that a graph may have it twice."""
        return msgspec.structs.replace(self, name=name)

    def __call__(self, turn: Any) -> Any:
        """Call the function, so that a decorated function stays callable. Raises `TypeError` if agents have a method instead."""
        if self.work is None:
            if self.commits:
                raise TypeError("a commit is a stage of its own: Graph.chain(choose, commit, score)")
            raise TypeError(f"the stage {self.name!r} is a method of each agent")
        return self.work(turn)


def per_agent(work: Work | str, *, of: str | type = "") -> Stage:
    """Return a stage that each agent does: a function of a `Turn`, or the name of a method of the agents.

    A function may be ``async``. Both run on the agent's own thread. With `of`, only the agents of that type do it, and others pass it
    over: the name of a group, or a class of agents. Usable as a decorator.
    """
    if isinstance(work, str):
        return Stage(work, None, together=False, of=_type_name(of))
    return Stage(_name_of(work), work, together=False, of=_type_name(of))


@overload
def for_all(work: Work) -> Stage: ...
@overload
def for_all(work: str) -> Callable[[Work], Stage]: ...
def for_all(work: Work | str) -> Stage | Callable[[Work], Stage]:
    """Return a stage that is done for all agents of a group at once: a plain function of a `ColumnTurn`, which has arrays.

    Usable as a decorator, for all groups or for one: ``@for_all`` or ``@for_all("trader")``. Agents of no group pass it over.
    """
    if isinstance(work, str):
        return lambda function: Stage(_name_of(function), function, together=False, for_all=True, of=work)
    return Stage(_name_of(work), work, together=False, for_all=True)


def _type_name(of: Any) -> str:
    if not isinstance(of, str | type):
        raise InvalidGraph([f"of={of!r} is no type of agents; give the name of a group, or a class of agents"])
    return of if isinstance(of, str) else of.__name__


def together(work: Work) -> Stage:
    """Return a stage that is done once for all agents that reached it: a function of a `Gathering`.

    It may be ``async``, and runs on a thread of its own. Usable as a decorator.
    """
    return Stage(_name_of(work), work, together=True)


commit = Stage("commit", None, together=True, commits=True)
"""A stage that commits the intents of the round so far, once all agents have reached it; the stages after it see the outcome.

`Graph.chain` numbers several of them. In a graph with edges of your own, give each a name: ``commit.named("after the choice")``.
"""


def _numbered(stages: list[Stage]) -> list[Stage]:
    """Return stages in which the second commit, and those after it, have a number."""
    made, count = list[Stage](), 0
    for stage in stages:
        count += stage is commit
        made.append(stage.named(f"{stage.name} {count}") if stage is commit and count > 1 else stage)
    return made


def as_stage(work: Stage | Work | str) -> Stage:
    """Return `work` as a stage; a function or name becomes a per-agent stage."""
    return work if isinstance(work, Stage) else per_agent(work)


def _name_of(work: Any) -> str:
    if not callable(work) or inspect.isclass(work):
        raise InvalidGraph([f"{work!r} cannot be a stage; give a function, or the name of a method"])
    name = getattr(work, "__name__", type(work).__name__)
    return "stage" if name == "<lambda>" else name
