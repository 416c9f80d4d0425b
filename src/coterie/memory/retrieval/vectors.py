"""An index of the vectors of one agent's memories."""

from __future__ import annotations

import heapq
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import ExtraMissing
from coterie.memory.contract import Archive

_PAGE = 10_000


class VectorIndex:
    """Follows the archive for one agent and model, and finds nearest vectors by brute force.

    A search of a hundred thousand vectors takes a few milliseconds. Safe from many threads; `_lock` guards everything. The
    vector of a deleted memory stays until a caller that fails to find the memory drops it.
    """

    def __init__(self, agent: str, model: str) -> None:
        try:
            import numpy as np  # noqa: PLC0415 - it is optional
        except ImportError as error:
            raise ExtraMissing("recall by meaning", "vectors") from error
        self._numpy = np
        self._agent = agent
        self._model = model
        self._lock = new_lock(Rank.MIND)
        self._version = 0
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []
        self._matrix: Any = None

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def catch_up(self, archive: Archive) -> None:
        """Load the vectors that the archive received since the last call."""
        with self._lock:
            while page := archive.vectors(self._agent, self._model, self._version, _PAGE):
                for each in page:
                    self._take(each.key, each.vector)
                self._version = page[-1].version

    def nearest(self, vector: bytes, count: int) -> list[tuple[str, float]]:
        """Return (key, cosine) of the nearest vectors, nearest first."""
        np = self._numpy
        with self._lock:
            if not self._rows or len(vector) != self._matrix.shape[1] * 4:
                return []
            near = self._matrix[: len(self._keys)] @ np.frombuffer(vector, dtype="<f4")
            most = min(len(self._keys), count + len(self._keys) - len(self._rows))
            places = np.argpartition(-near, most - 1)[:most]
            found = [(float(near[place]), self._keys[place]) for place in places if self._rows.get(self._keys[place]) == place]
        return [(key, score) for score, key in heapq.nlargest(count, found)]

    def drop(self, key: str) -> None:
        """Remove a memory."""
        with self._lock:
            self._rows.pop(key, None)

    def _take(self, key: str, vector: bytes) -> None:
        np = self._numpy
        row = np.frombuffer(vector, dtype="<f4")
        if self._matrix is None:
            self._matrix = np.zeros((64, len(row)), dtype="<f4")
        if len(row) != self._matrix.shape[1]:
            # The model changed its dimension; such vectors cannot be compared.
            return
        place = self._rows.get(key)
        if place is None:
            place = len(self._keys)
            if place == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._keys.append(key)
            self._rows[key] = place
        self._matrix[place] = row
