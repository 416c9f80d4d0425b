"""An approximate index of very many vectors, by usearch (HNSW: Malkov and Yashunin, 2018)."""

from __future__ import annotations

from typing import Any

_SAMPLE = 4_096
"""The number of vectors by which the spread of similarities is estimated."""
_PAGE_BITS = 14
_MASK = (1 << _PAGE_BITS) - 1
_LEVELS = 127
_TOGETHER = 8_192
"""The number of vectors that are converted at once."""
_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 2_048
"""The parameters of the graph: see the figures of recall in the documentation."""


class ApproximateVectors:
    """Vectors by number. Not safe from many threads; its owner guards it.

    The graph has numbers of one byte, of the range of the first vectors; the vectors that it finds are compared with halves of
    floats. Together they take less memory than the vectors of an exact index.
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
        self._range = 0.0
        """The greatest number that has a level of its own."""
        self._sample: Any = np.zeros((_SAMPLE, dimension), dtype="<f4")
        self._random: Any = np.random.default_rng(0)

    def add(self, first: int, rows: Any) -> None:
        """Add a matrix of vectors with the numbers from `first` on, on all cores."""
        np = self._numpy
        self._range = self._range or float(np.abs(rows).max()) or 1.0
        for begin in range(0, len(rows), _TOGETHER):
            part = rows[begin : begin + _TOGETHER]
            numbers = np.arange(first + begin, first + begin + len(part), dtype=np.uint64)
            self._index.add(numbers, self._levels(part, self._range))
        done = 0
        while done < len(rows):
            begin = (first + done) & _MASK
            if not begin:
                self._pages.append(np.zeros((_MASK + 1, self._dimension), dtype="<f2"))
            part = rows[done : done + _MASK + 1 - begin]
            self._pages[-1][begin : begin + len(part)] = part
            done += len(part)
        self._sum += rows.sum(axis=0, dtype="f8")
        # Each vector has the same chance to be in the sample (Vitter, "Random sampling with a reservoir", 1985).
        places = np.arange(self._count, self._count + len(rows))
        chosen = np.where(places < _SAMPLE, places, self._random.integers(0, places + 1))
        for place in np.flatnonzero(chosen < _SAMPLE):
            self._sample[chosen[place]] = rows[place]
        self._count += len(rows)

    def nearest(self, vector: Any, count: int) -> Any:
        """Return the numbers of about the `count` nearest vectors."""
        np = self._numpy
        levels = self._levels(vector, float(np.abs(vector).max()) or 1.0)
        return self._index.search(levels, min(count, self._count)).keys.astype(np.int64)

    def _levels(self, rows: Any, span: float) -> Any:
        """Return numbers as bytes. The order of inner products does not depend on their scale."""
        np = self._numpy
        return np.clip(np.rint(rows * np.float32(_LEVELS / span)), -_LEVELS, _LEVELS).astype(np.int8)

    def similarities(self, vector: Any, numbers: Any) -> Any:
        """Return the similarities of vectors by their numbers, which are in ascending order."""
        np = self._numpy
        rows = np.empty((len(numbers), self._dimension), dtype="<f4")
        pages = numbers >> _PAGE_BITS
        for page in np.unique(pages):
            first, last = np.searchsorted(pages, [page, page + 1])
            rows[first:last] = self._pages[page][numbers[first:last] & _MASK]
        return rows @ vector

    def spread(self, vector: Any) -> tuple[float, float]:
        """Return the mean of the similarities of all vectors, and their standard deviation, which is estimated."""
        mean = float(self._sum @ vector) / max(1, self._count)
        return mean, float((self._sample[: min(self._count, _SAMPLE)] @ vector).std())
