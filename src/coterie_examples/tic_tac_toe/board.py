"""The rules of tic-tac-toe. Cells are numbered from 0 to 8, row by row. X begins."""

from __future__ import annotations

from collections.abc import Sequence

_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
DRAW = "draw"


def free(moves: Sequence[int]) -> list[int]:
    """Return the free cells."""
    return [cell for cell in range(9) if cell not in moves]


def objection(moves: Sequence[int], cell: object) -> str:
    """Return the reason why a move is illegal; an empty text for a legal move."""
    if isinstance(cell, bool) or not isinstance(cell, int) or not 0 <= cell < 9:  # noqa: PLR2004 - the board
        return f"{cell!r} is no cell; cells are numbered from 0 to 8"
    return f"cell {cell} is taken" if cell in moves else ""


def result(moves: Sequence[int]) -> str:
    """Return "X", "O" or "draw" if the game is over; an empty text if it is not."""
    for first, mark in ((0, "X"), (1, "O")):
        own = set(moves[first::2])
        if any(own.issuperset(line) for line in _LINES):
            return mark
    return "" if free(moves) else DRAW


def best(moves: Sequence[int]) -> list[int]:
    """Return the best moves of the next player, if both play perfectly: by minimax over all games."""
    known: dict[tuple[frozenset[int], frozenset[int]], int] = {}
    values = {cell: _value((*moves, cell), known) for cell in free(moves)}
    most = max(values.values())
    return [cell for cell, value in values.items() if value == most]


def _value(moves: tuple[int, ...], known: dict[tuple[frozenset[int], frozenset[int]], int]) -> int:
    """Return the value of a position for the last player: 1, 0 or -1. It does not depend on the order of moves."""
    position = frozenset(moves[::2]), frozenset(moves[1::2])
    if position not in known:
        over = result(moves)
        ended = 0 if over == DRAW else 1
        known[position] = ended if over else -max(_value((*moves, cell), known) for cell in free(moves))
    return known[position]


def drawn(moves: Sequence[int]) -> str:
    """Return the board as three lines of text."""
    cells = {cell: "XO"[place % 2] for place, cell in enumerate(moves)}
    return "\n".join(" ".join(cells.get(3 * row + column, ".") for column in range(3)) for row in range(3))
