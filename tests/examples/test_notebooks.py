"""The notebooks run to their end in one kernel, show rich displays, and get what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat as untyped
import pytest
from nbclient import NotebookClient

nbformat: Any = untyped
FOLDER = Path(__file__).parents[2] / "examples/notebooks"


@pytest.fixture(scope="module")
def executed() -> dict[str, list[Any]]:
    """The executed cells of each notebook. One kernel runs all of them, because its start takes most of the time."""
    together = nbformat.v4.new_notebook()
    lengths: dict[str, int] = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        cells = [each for each in nbformat.read(path, 4).cells if each.cell_type == "code"]
        for place, cell in enumerate(cells):
            cell["id"] = f"{path.stem}-{place}".replace("_", "-")
        lengths[path.stem] = len(cells)
        together.cells.extend(cells)
    NotebookClient(together, timeout=50, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    cells = iter(together.cells)
    return {name: [next(cells) for _ in range(length)] for name, length in lengths.items()}


def html(cells: list[Any]) -> Iterator[str]:
    for cell in cells:
        for output in cell.outputs:
            yield from [output.data["text/html"]] if "data" in output and "text/html" in output.data else []


def result(cell: Any) -> str:
    return str(cell.outputs[-1].data["text/plain"])


def test_a_simulation_is_awaited_with_a_bar_and_shown_with_plots(executed: dict[str, list[Any]]) -> None:
    cells = executed["simulation"]
    assert result(cells[1]).startswith("(12, ")
    shown = "".join(html(cells))
    assert "12 of 12 rounds" in shown
    assert "15 of 15 rounds" in shown
    assert "<polyline" in shown
    assert "basket/ada" in shown


def test_agents_are_asked_and_shown(executed: dict[str, list[Any]]) -> None:
    cells = executed["agents"]
    assert result(cells[1]) == "[3, 3, 3]"
    assert "dice-1" in "".join(html(cells))
    assert result(cells[3]).startswith("'http://127.0.0.1:")


def test_several_runs_go_on_at_once_and_agree(executed: dict[str, list[Any]]) -> None:
    cells = executed["many_runs"]
    assert "place/walker-1" in result(cells[1])
    assert result(cells[2]) == "True"
