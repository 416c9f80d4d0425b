"""An approximate index of very many vectors, by usearch (HNSW: Malkov and Yashunin, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SAMPLE = 4_096
"""The number of vectors by which the spread of similarities is estimated."""
_PAGE_BITS = 14
_MASK = (1 << _PAGE_BITS) - 1
_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 512
"""The parameters of the graph: see the figures of recall in the documentation."""


class ApproximateVectors:
    """Vectors by number. Not safe from many threads; its owner guards it.

    The graph has numbers of one byte; the vectors that it finds are compared with halves of floats. Together they take less memory
    than the vectors of an exact index.
    """

    def __init__(self, dimension: int) -> None:
        """Create an empty index. Raises `ImportError` without usearch."""
        import numpy as np  # noqa: PLC0415 - it is optional
        from usearch.index import Index  # noqa: PLC0415 - as above

        self._numpy = np
        self._dimension = dimension
        self._index: Any = Index(
            ndim=dimension,
            metric="ip",
            dtype="i8",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSION_SEARCH,
        )
        self._pages: list[Any] = []
        self._sum: Any = np.zeros(dimension, dtype="f8")
        self._count = 0
        self._sample: Any = np.zeros((_SAMPLE, dimension), dtype="<f4")
        self._random: Any = np.random.default_rng(0)

    def add(self, first: int, rows: Any) -> None:
        """Add a matrix of vectors with the numbers from `first` on, on all cores."""
        np = self._numpy
        self._index.add(np.arange(first, first + len(rows), dtype=np.uint64), rows)
        for begin in range(first, first + len(rows)):
            if not begin & _MASK:
                self._pages.append(np.zeros((_MASK + 1, self._dimension), dtype="<f2"))
            self._pages[-1][begin & _MASK] = rows[begin - first]
        self._sum += rows.sum(axis=0, dtype="f8")
        # Each vector has the same chance to be in the sample (Vitter, "Random sampling with a reservoir", 1985).
        places = np.arange(self._count, self._count + len(rows))
        chosen = np.where(places < _SAMPLE, places, self._random.integers(0, places + 1))
        for place in np.flatnonzero(chosen < _SAMPLE):
            self._sample[chosen[place]] = rows[place]
        self._count += len(rows)

    def nearest(self, vector: Any, count: int) -> list[int]:
        """Return the numbers of about the `count` nearest vectors."""
        return [int(number) for number in self._index.search(vector, min(count, self._count)).keys]

    def similarities(self, vector: Any, numbers: Sequence[int]) -> dict[int, float]:
        """Return the similarities of vectors by their numbers."""
        np = self._numpy
        if not numbers:
            return {}
        rows = np.stack([self._pages[number >> _PAGE_BITS][number & _MASK] for number in numbers]).astype("<f4")
        return dict(zip(numbers, (rows @ vector).tolist(), strict=True))

    def spread(self, vector: Any) -> tuple[float, float]:
        """Return the mean of the similarities of all vectors, and their standard deviation, which is estimated."""
        mean = float(self._sum @ vector) / max(1, self._count)
        return mean, float((self._sample[: min(self._count, _SAMPLE)] @ vector).std())
