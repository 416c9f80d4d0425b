"""Vectors in one byte a number, for a first comparison of all, by numkong's kernels."""

from __future__ import annotations

from typing import Any

_LEVELS = 127
_WIDER = 1.25
"""The least factor by which the range grows, so that the rows are seldom converted anew."""


class ByteRows:
    """Vectors of length 1 by number, with numbers from -127 to 127. Not safe from many threads; its owner guards it.

    A comparison with all takes a tenth of the time of NumPy's product of floats, because it reads a quarter of the bytes, and NumPy
    has no such product of bytes. The difference to the similarity of the floats is about normally distributed; `error` is its
    standard deviation.
    """

    def __init__(self, dimension: int) -> None:
        """Create an empty set of rows. Raises `ImportError` without NumPy and numkong."""
        import numkong  # noqa: PLC0415 - it is optional
        import numpy as np  # noqa: PLC0415 - as above

        self._numpy = np
        self._compare: Any = numkong.cdist
        self._dimension = dimension
        self._rows: Any = np.zeros((64, dimension), dtype=np.int8)
        self._count = 0
        self._range = 0.0
        """The greatest number that has a level."""
        self._worst = 0.0
        """The greatest distance of a vector from its row."""

    def __len__(self) -> int:
        return self._count

    def follow(self, matrix: Any, changed: Any = ()) -> None:
        """Take over the rows of a matrix of floats: those that are new, and those of these numbers, which changed."""
        np = self._numpy
        first = self._count
        self._count = len(matrix)
        if len(self._rows) < self._count:
            grown = np.zeros((max(2 * len(self._rows), self._count), self._dimension), dtype=np.int8)
            grown[:first] = self._rows[:first]
            self._rows = grown
        new = matrix[first:]
        older = np.array(sorted(changed), dtype=np.int64)
        reach = max((float(np.abs(rows).max()) for rows in (new, matrix[older]) if len(rows)), default=0.0)
        if reach > self._range:
            self._range = max(reach, _WIDER * self._range)
            self._worst = 0.0
            first, older = 0, older[:0]
        for begin in range(first, self._count, 8_192):
            place = slice(begin, min(begin + 8_192, self._count))
            self._rows[place] = self._converted(matrix[place])
        if len(older):
            self._rows[older] = self._converted(matrix[older])

    def similarities(self, vector: Any) -> tuple[Any, float]:
        """Return the approximate similarities of all vectors, and their error."""
        np = self._numpy
        question = np.clip(np.rint(vector * (_LEVELS / self._span(vector))), -_LEVELS, _LEVELS).astype(np.int8)
        step = self._span(vector) / _LEVELS
        lost = float(np.linalg.norm(vector - question * np.float32(step)))
        products = np.asarray(self._compare(question[None, :], self._rows[: self._count], "dot", out_dtype="float32"))[0]
        error = float(np.hypot(self._worst, lost)) / self._dimension**0.5
        return products * np.float32(step * self._range / _LEVELS), error

    @staticmethod
    def _span(vector: Any) -> float:
        return float(abs(vector).max()) or 1.0

    def _converted(self, rows: Any) -> Any:
        np = self._numpy
        if not self._range:
            return np.zeros(rows.shape, dtype=np.int8)
        levels = np.rint(rows * np.float32(_LEVELS / self._range))
        lost = np.linalg.norm(rows - levels * np.float32(self._range / _LEVELS), axis=1)
        self._worst = max(self._worst, float(lost.max()))
        return levels.astype(np.int8)
