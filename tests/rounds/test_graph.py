"""A graph is seen to be sound when it is made."""

from typing import Any

import pytest

from coterie.errors import InvalidGraph
from coterie.rounds import END, Edge, Graph, Turn, per_agent, together


def a(turn: Turn) -> None: ...
def b(turn: Turn) -> None: ...
def c(turn: Turn) -> None: ...


def yes(turn: Turn) -> bool:
    return True


@pytest.mark.parametrize(
    ("stages", "edges", "start", "problem"),
    [
        ([], [], None, "the graph has no stage"),
        ([a, a], [], None, "2 stages are named 'a'"),
        ([a, "end"], [], None, "cannot be named 'end'"),
        ([a, b], [Edge("a", "bb")], None, "the stage 'bb' is unknown; did you mean 'b'?"),
        ([a], [Edge("a", "zzz")], None, "the stage 'zzz' is unknown; the stages are a"),
        ([a], [], "x", "the start 'x' is unknown"),
        ([a, b], [], None, "the stage 'b' cannot be reached from 'a'"),
        ([a, b], [Edge("a", "b"), Edge("b", "a")], None, "the loop at 'a' has no exit"),
        ([a], [Edge("a", "a")], None, "the loop at 'a' has no exit"),
        ([a, b, c], [Edge("a", "b"), Edge("a", "c")], None, "the edge from 'a' to 'c' is never taken"),
        ([a, b], [Edge("a", END), Edge("a", "b")], None, "is never taken"),
        ([a], [Edge("end", "a")], None, "an edge leads from 'end'"),
    ],
)
def test_each_fault_is_named(stages: list[Any], edges: list[Edge], start: str | None, problem: str) -> None:
    with pytest.raises(InvalidGraph) as caught:
        Graph(stages, edges, start=start)
    assert any(problem in each for each in caught.value.problems), caught.value.problems
    assert str(caught.value).startswith("the graph is invalid:\n")


def test_circles_with_a_way_out_and_branches_are_sound() -> None:
    Graph([a, b], [Edge("a", "b"), Edge("b", "a", when=yes)])
    Graph([a], [Edge("a", "a", when=yes), Edge("a", END)])
    Graph([a, b, c], [Edge("a", "b", when=yes), Edge("a", "c"), Edge("b", "c")])


def test_stages_know_whether_they_may_be_the_last_of_an_agent() -> None:
    graph = Graph.chain(a, together(b), c, together(yes))
    assert [graph.may_be_last(stage.name) for stage in graph.stages] == [False, False, True, True]


def test_a_value_that_is_not_a_stage_is_named_and_a_decorated_function_stays_callable() -> None:
    with pytest.raises(InvalidGraph, match="3 cannot be a stage"):
        per_agent(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidGraph, match="cannot be a stage"):
        Graph.chain(Graph)

    @per_agent
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    with pytest.raises(TypeError, match="is a method"):
        per_agent("name")(1)
