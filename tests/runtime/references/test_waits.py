from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie import WaitCycle
from coterie.concurrency import Signal
from coterie.runtime.references.waits import WaitGraph


class Cell:
    def __init__(self, name: str) -> None:
        self.name = name
        self.waits_for: dict[Signal, Cell] = {}


def reaches(start: Cell, end: Cell) -> bool:
    seen: set[Cell] = set()
    pending = [start]
    while pending:
        cell = pending.pop()
        if cell is end:
            return True
        if cell not in seen:
            seen.add(cell)
            pending += [target for outcome, target in cell.waits_for.items() if not outcome.done]
    return False


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(["wait", "wait", "leave", "end"])), max_size=60)
)
def test_an_accepted_edge_never_closes_a_cycle_and_a_refused_edge_would(moves: list[tuple[int, int, str]]) -> None:
    cells = [Cell(str(n)) for n in range(7)]
    graph = WaitGraph()
    for one, other, move in moves:
        waiting, target = cells[one], cells[other]
        if move != "wait":
            for outcome in list(waiting.waits_for)[:1]:
                if move == "end":
                    outcome.set()
                else:
                    graph.leave(waiting, outcome)  # type: ignore[arg-type] # stands for a cell
            continue
        circle = reaches(target, waiting)
        if circle:
            before = dict(waiting.waits_for)
            with pytest.raises(WaitCycle) as caught:
                graph.enter(waiting, target, Signal())  # type: ignore[arg-type] # stands for a cell
            names = caught.value.agents
            assert names[0] == names[-1] == waiting.name
            assert names[1] == target.name
            for here, there in pairwise(names[1:]):
                assert cells[int(there)] in cells[int(here)].waits_for.values()
            assert waiting.waits_for == before
        else:
            graph.enter(waiting, target, Signal())  # type: ignore[arg-type] # stands for a cell
    for cell in cells:
        assert not any(reaches(target, cell) for outcome, target in cell.waits_for.items() if not outcome.done)


def test_the_error_names_the_cycle_and_the_remedy() -> None:
    a, b = Cell("anna"), Cell("bert")
    graph = WaitGraph()
    graph.enter(a, b, Signal())  # type: ignore[arg-type] # stands for a cell
    with pytest.raises(WaitCycle, match=r"waiting would never end: bert -> anna -> bert; tell instead of ask"):
        graph.enter(b, a, Signal())  # type: ignore[arg-type] # stands for a cell


def test_a_wait_whose_outcome_has_arrived_closes_no_cycle() -> None:
    asker, source = Cell("asker"), Cell("source")
    graph = WaitGraph()
    item, room = Signal(), Signal()
    # The source fills the stream, for which the asker has just begun to wait, and waits for room before the asker wakes up.
    item.set()
    graph.enter(source, asker, room)  # type: ignore[arg-type] # stands for a cell
    graph.enter(asker, source, item)  # type: ignore[arg-type] # stands for a cell
    assert asker.waits_for == {}
    with pytest.raises(WaitCycle):
        graph.enter(asker, source, Signal())  # type: ignore[arg-type] # stands for a cell
