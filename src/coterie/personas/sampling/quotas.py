"""Whole counts that fit shares exactly: apportionment, and tables with given row and column totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from coterie.errors.personas import InvalidPopulation

K = TypeVar("K")
_TOLERANCE = 1e-6


def shares_of(where: str, quotas: Mapping[K, Any], size: int) -> dict[K, float]:
    """Return quotas, which are counts that add up to `size` or shares that add up to 1, as shares. Raises `InvalidPopulation`."""
    if not quotas:
        raise InvalidPopulation(where, "it has no quota; give at least one")
    for label, value in quotas.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise InvalidPopulation(f"{where}.{label}", f"{value!r} is not a share or a count; give a number from 0")
    total = math.fsum(quotas.values())
    counts = all(float(value).is_integer() for value in quotas.values())
    if counts and total == size:
        return {label: value / size for label, value in quotas.items()}
    if abs(total - 1) > _TOLERANCE:
        wanted = f"{size}, which is the size" if counts else f"1 (or whole counts to {size})"
        raise InvalidPopulation(where, f"the quotas add up to {total:g}; they must add up to {wanted}")
    return {label: value / total for label, value in quotas.items()}


def apportion(shares: Mapping[K, float], total: int) -> dict[K, int]:
    """Return whole numbers in proportion to shares that add up to `total`: by largest remainder (Hamilton), first label first."""
    whole = math.fsum(shares.values()) or 1.0
    exact = {label: total * share / whole for label, share in shares.items()}
    counts = {label: math.floor(value + _TOLERANCE) for label, value in exact.items()}
    order = sorted(exact, key=lambda label: counts[label] - exact[label])
    for label in order[: total - sum(counts.values())]:
        counts[label] += 1
    return counts


def fit(expected: Sequence[Sequence[float]], rows: Sequence[int], columns: Sequence[int]) -> list[list[int]] | None:
    """Return a table of whole numbers near `expected`, with exactly these totals of rows and columns; None if there is none.

    A cell that is expected to be 0 stays 0. It rounds down, gives the remaining units to the largest remainders, and moves units
    along an alternating path where a remainder lies in a cell that must stay 0.
    """
    table = [[math.floor(value + _TOLERANCE) for value in row] for row in expected]
    left = [total - sum(row) for total, row in zip(rows, table, strict=True)]
    below = [total - sum(row[place] for row in table) for place, total in enumerate(columns)]
    if min(left, default=0) < 0 or min(below, default=0) < 0:
        # The totals are not those of the expected table; begin from nothing.
        table = [[0] * len(columns) for _ in rows]
        left, below = list(rows), list(columns)
    while any(left):
        cells = [
            (expected[row][column] - table[row][column], -row, -column)
            for row, missing in enumerate(left)
            if missing
            for column, wanted in enumerate(below)
            if wanted and expected[row][column] > 0
        ]
        if cells:
            _, row, column = max(cells)
            table[-row][-column] += 1
            left[-row] -= 1
            below[-column] -= 1
        elif not _move(expected, table, left, below):
            return None
    return table


def _move(expected: Sequence[Sequence[float]], table: list[list[int]], left: list[int], below: list[int]) -> bool:
    """Add a unit to a row by a path of cells, alternately one more and one less; return whether there is such a path."""
    start = next(row for row, missing in enumerate(left) if missing)
    came: dict[tuple[str, int], int] = {}
    ahead: list[tuple[str, int]] = [("row", start)]
    while ahead:
        kind, place = ahead.pop(0)
        if kind == "row":
            reached = [("column", column) for column, value in enumerate(expected[place]) if value > 0]
        else:
            if below[place]:
                below[place] -= 1
                left[start] -= 1
                while True:
                    row = came["column", place]
                    table[row][place] += 1
                    if row == start:
                        return True
                    place = came["row", row]
                    table[row][place] -= 1
            reached = [("row", row) for row in range(len(table)) if table[row][place] > 0]
        for each in reached:
            if each not in came and each != ("row", start):
                came[each] = place
                ahead.append(each)
    return False
