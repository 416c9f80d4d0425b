"""A plane: agents at points, found by the tiles around them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.world.spaces.space import Position, Space

Point = tuple[float, float]


class Plane(Space):
    """Points ``(x, y)`` from 0 to `width` and from 0 to `height`; with `torus` the borders are joined.

    `tile` is the side of the square tiles that list their agents: choose about the radius of your searches. Any number of agents
    may be at a point.
    """

    def __init__(
        self, width: float, height: float, *, tile: float | None = None, torus: bool = False, name: str = "plane"
    ) -> None:
        super().__init__(name, None)
        check_number("Plane.width", width, above=0)
        check_number("Plane.height", height, above=0)
        check_number("Plane.tile", tile, above=0, optional=True)
        check_instance("Plane.torus", torus, bool, "True or False")
        if not (math.isfinite(width) and math.isfinite(height)):
            raise InvalidSetting("Plane.width", (width, height), "finite lengths")
        self.width, self.height, self.torus = float(width), float(height), torus
        side = float(tile) if tile is not None else max(width, height) / 20
        # Whole numbers of tiles, so that those of a torus fit together.
        self._columns, self._rows = max(1, int(width / side)), max(1, int(height / side))

    def __repr__(self) -> str:
        return f"Plane({self.width:g}, {self.height:g}, torus={self.torus})"

    def checked(self, position: Position) -> Point:
        """Return a point; on a torus, coordinates beyond the border are wrapped. Raises `ValueError`."""
        if not isinstance(position, tuple | list) or len(position) != 2:  # noqa: PLR2004 - x and y
            raise ValueError(f"{position!r} is no point (x, y)")
        if any(isinstance(each, bool | str) or not hasattr(each, "__float__") for each in position):
            raise ValueError(f"{position!r} is no point (x, y) of numbers")
        x, y = map(float, position)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"{position!r} is not finite")
        if self.torus:
            # The remainder of a tiny negative number is the width itself.
            return x % self.width % self.width, y % self.height % self.height
        if not (0 <= x <= self.width and 0 <= y <= self.height):
            raise ValueError(f"({x:g}, {y:g}) is outside of the {self.width:g} x {self.height:g} of {self.name}")
        return x, y

    def site(self, position: Position) -> tuple[int, int]:
        """Return the tile of a point."""
        x, y = position
        column, row = int(x * self._columns / self.width), int(y * self._rows / self.height)
        return min(column, self._columns - 1), min(row, self._rows - 1)

    def sites_near(self, position: Position, radius: float) -> list[tuple[int, int]]:
        """Return the tiles that the circle of `radius` around a point may touch."""
        column, row = self.site(position)
        wide = math.ceil(radius * self._columns / self.width)
        high = math.ceil(radius * self._rows / self.height)
        columns = _around(column, wide, self._columns, torus=self.torus)
        return [(x, y) for y in _around(row, high, self._rows, torus=self.torus) for x in columns]

    def agents_near(self, view: Mapping[str, Any], position: Position, radius: float = 1) -> tuple[str, ...]:
        """Return the names of the agents within `radius` of a point, those at the point included. Raises `ValueError`."""
        at = self.checked(position)
        found = super().agents_near(view, at, radius)
        return tuple(name for name in found if self.distance(at, view[self.key_of(name)]) <= radius)

    def distance(self, one: Position, other: Position) -> float:
        """Return the Euclidean distance, over joined borders too."""
        return math.hypot(*self.direction(one, other))

    def direction(self, one: Position, other: Position) -> Point:
        """Return the shortest way from one point to another as ``(dx, dy)``."""
        dx, dy = other[0] - one[0], other[1] - one[1]
        if self.torus:
            dx = (dx + self.width / 2) % self.width - self.width / 2
            dy = (dy + self.height / 2) % self.height - self.height / 2
        return dx, dy

    def drawn(self, position: Position) -> tuple[float, float]:
        """Return the point, in units of a sixtieth of the longer side."""
        unit = max(self.width, self.height) / 60
        return position[0] / unit, position[1] / unit

    @property
    def extent(self) -> tuple[float, float]:
        """The width and height in these units."""
        return self.drawn((self.width, self.height))


def _around(place: int, reach: int, count: int, *, torus: bool) -> list[int]:
    if 2 * reach + 1 >= count:
        return list(range(count))
    if torus:
        return [(place + step) % count for step in range(-reach, reach + 1)]
    return list(range(max(0, place - reach), min(count, place + reach + 1)))
