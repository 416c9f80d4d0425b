"""Grids of cells: von Neumann, Moore and hexagonal neighbourhoods, with and without borders."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from random import Random
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number, choice
from coterie.world.spaces.space import Position, Space

Cell = tuple[int, int]
_TRIES = 64
"""The number of cells that are drawn before the empty ones are listed."""


class Neighbourhood(enum.StrEnum):
    """The cells next to a cell."""

    MOORE = "moore"
    """The eight cells around it."""
    VON_NEUMANN = "von-neumann"
    """The four cells beside it."""
    HEXAGONAL = "hexagonal"
    """The six cells around it; odd rows are half a cell to the right."""


class Grid(Space):
    """Cells ``(x, y)`` with x from 0 to `width` - 1 and y from 0 to `height` - 1.

    With `torus` the borders are joined. By default a cell holds one agent. The cells near a cell are worked out once and kept, in
    a dict that threads fill with the same values.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        neighbourhood: Neighbourhood | str = Neighbourhood.MOORE,
        torus: bool = False,
        capacity: int | None = 1,
        name: str = "grid",
    ) -> None:
        super().__init__(name, capacity)
        check_number("Grid.width", width, least=1, whole=True)
        check_number("Grid.height", height, least=1, whole=True)
        check_instance("Grid.torus", torus, bool, "True or False")
        self.width, self.height, self.torus = width, height, torus
        self.neighbourhood = choice("Grid.neighbourhood", neighbourhood, Neighbourhood)
        if torus and self.neighbourhood is Neighbourhood.HEXAGONAL and height % 2:
            raise InvalidSetting("Grid.height", height, "an even number, so that the rows of a hexagonal torus fit together")
        self._near: dict[tuple[Cell, int], tuple[Cell, ...]] = {}

    def __repr__(self) -> str:
        return f"Grid({self.width}, {self.height}, neighbourhood={self.neighbourhood.value!r}, torus={self.torus})"

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [(x, y) for y in range(self.height) for x in range(self.width)]

    def checked(self, position: Position) -> Cell:
        """Return a cell; on a torus, coordinates beyond the border are wrapped. Raises `ValueError`."""
        if not isinstance(position, tuple | list) or len(position) != 2:  # noqa: PLR2004 - x and y
            raise ValueError(f"{position!r} is no cell (x, y)")
        x, y = position
        if any(isinstance(each, bool) or not hasattr(each, "__index__") for each in (x, y)):
            raise ValueError(f"{position!r} is no cell (x, y) of whole numbers")
        x, y = int(x), int(y)
        if self.torus:
            return x % self.width, y % self.height
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ValueError(f"({x}, {y}) is outside of the {self.width} x {self.height} cells of {self.name}")
        return x, y

    def site(self, position: Position) -> Cell:
        """Return the cell."""
        cell: Cell = position
        return cell

    def near(self, cell: Position, radius: int = 1) -> tuple[Cell, ...]:
        """Return the cells within `radius` steps of a cell, without it, in a fixed order. Raises `ValueError`."""
        return self._cells_near(self.checked(cell), int(radius))

    def sites_near(self, position: Position, radius: float) -> tuple[Cell, ...]:
        """Return the cells within `radius` steps, the cell itself first."""
        return (position, *self._cells_near(position, int(radius)))

    def distance(self, one: Position, other: Position) -> int:
        """Return the number of steps from one cell to another, over joined borders too."""
        dx, dy = abs(one[0] - other[0]), abs(one[1] - other[1])
        if self.neighbourhood is Neighbourhood.HEXAGONAL:
            return _steps(self, one, other)
        if self.torus:
            dx, dy = min(dx, self.width - dx), min(dy, self.height - dy)
        return int(max(dx, dy) if self.neighbourhood is Neighbourhood.MOORE else dx + dy)

    def is_free(self, view: Mapping[str, Any], cell: Position) -> bool:
        """Return whether a cell can take an agent. Raises `ValueError`."""
        return self.capacity is None or len(self.agents_at(view, cell)) < self.capacity

    def empty(self, view: Mapping[str, Any]) -> list[Cell]:
        """Return all cells without an agent, row by row."""
        return [cell for cell in self.cells if not view.get(self.key_of_site(cell))]

    def random_empty(self, view: Mapping[str, Any], random: Random) -> Cell | None:
        """Return a cell without an agent, drawn from a stream; None if there is none. All are equally likely."""
        for _ in range(_TRIES):
            cell = (random.randrange(self.width), random.randrange(self.height))
            if not view.get(self.key_of_site(cell)):
                return cell
        empty = self.empty(view)
        return random.choice(empty) if empty else None

    def drawn(self, position: Position) -> tuple[float, float]:
        """Return the middle of a cell."""
        x, y = position
        shifted = 0.5 * (y % 2) if self.neighbourhood is Neighbourhood.HEXAGONAL else 0.0
        return x + 0.5 + shifted, y + 0.5

    @property
    def extent(self) -> tuple[float, float]:
        """The numbers of columns and rows."""
        return self.width + 0.5 * (self.neighbourhood is Neighbourhood.HEXAGONAL), self.height

    def _cells_near(self, cell: Cell, radius: int) -> tuple[Cell, ...]:
        known = self._near.get((cell, radius))
        if known is None:
            reached = front = {cell}
            for _ in range(radius):
                front = {each for at in front for each in self._beside(at)} - reached
                reached = reached | front
            known = self._near[cell, radius] = tuple(sorted(reached - {cell}, key=lambda each: (each[1], each[0])))
        return known

    def _beside(self, cell: Cell) -> list[Cell]:
        x, y = cell
        found = []
        for dx, dy in _steps_of(self.neighbourhood, y):
            if self.torus:
                found.append(((x + dx) % self.width, (y + dy) % self.height))
            elif 0 <= x + dx < self.width and 0 <= y + dy < self.height:
                found.append((x + dx, y + dy))
        return found


def _steps_of(neighbourhood: Neighbourhood, row: int) -> tuple[tuple[int, int], ...]:
    if neighbourhood is Neighbourhood.VON_NEUMANN:
        return ((0, -1), (-1, 0), (1, 0), (0, 1))
    if neighbourhood is Neighbourhood.MOORE:
        return ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1))
    side = row % 2
    return ((side - 1, -1), (side, -1), (-1, 0), (1, 0), (side - 1, 1), (side, 1))


def _steps(grid: Grid, one: Cell, other: Cell) -> int:
    """Return the number of steps between two cells of a hexagonal grid; over joined borders, the least of the ways round."""
    turns = (-1, 0, 1) if grid.torus else (0,)
    images = [(other[0] + dx * grid.width, other[1] + dy * grid.height) for dx in turns for dy in turns]
    return min(_hexes(one, image) for image in images)


def _hexes(one: Cell, other: Cell) -> int:
    # In cube coordinates, see https://www.redblobgames.com/grids/hexagons/
    q1, q2 = one[0] - (one[1] - one[1] % 2) // 2, other[0] - (other[1] - other[1] % 2) // 2
    dq, dr = q2 - q1, other[1] - one[1]
    return max(abs(dq), abs(dr), abs(dq + dr))
