"""An index of the vectors of one agent's memories: exact, or approximate for very many with the extra ``index``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import ExtraMissing
from coterie.memory.contract import Archive
from coterie.memory.embeddings.approximate import ApproximateVectors
from coterie.memory.embeddings.byte_rows import ByteRows
from coterie.memory.record import MemoryKind

_log = logging.getLogger(__name__)

_PAGE = 10_000
EXACT_UP_TO = 200_000
"""The number of vectors up to which all are compared; of more, only those that usearch finds, if it is installed."""
SCAN_FROM = 4_096
"""The number of vectors from which all are first compared in bytes, and the best of them in floats, if numkong is installed."""
_DEVIATIONS = 8.0
"""How many standard deviations of the bytes' error a vector may be below the best, and is still compared in floats."""
_FURTHER = 8
"""How many times as many vectors as wanted the approximate index is asked for: neighbours in time change the order."""
_NEIGHBOUR = 0.25
"""The weight of each neighbour in time in the similarity of a memory, as its words count in a search."""


class VectorIndex:
    """Follows the archive for one agent and model, and finds nearest vectors.

    It compares all, so it is exact: a search of a hundred thousand vectors takes a few milliseconds. With numkong it compares
    them in bytes, and in floats all that may be among the best in spite of the bytes' error. Of more than `EXACT_UP_TO` vectors it
    compares those that an approximate index finds, if usearch is installed. Safe from many threads; `_lock` guards everything.
    The vector of a deleted memory stays until a caller that fails to find the memory drops it.
    """

    def __init__(self, agent: str, model: str) -> None:
        """Create an empty index. Raises `ExtraMissing` without NumPy."""
        try:
            import numpy as np  # noqa: PLC0415 - it is optional
        except ImportError as error:
            raise ExtraMissing("recall by meaning", "vectors") from error
        self._numpy = np
        self._agent = agent
        self._model = model
        self._lock = new_lock(Rank.MIND)
        self._version = 0
        self._others = set[str]()
        self._approximate: ApproximateVectors | None
        self._refused: bool
        self._without_bytes: bool
        self._moved: int
        """The number of vectors in the approximate index; the rows of `_matrix` begin with the next one."""
        self._matrix: Any
        self._bytes: ByteRows | None
        """The rows in bytes, once they are many."""
        self._changed: set[int]
        """The rows that changed since they were converted to bytes."""
        self._start(0)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def catch_up(self, archive: Archive, dimension: int) -> set[str]:
        """Load the vectors of a dimension that the archive received since the last call.

        Return the keys of the memories whose vectors have another dimension, to be embedded anew.
        """
        with self._lock:
            if dimension != self._dimension:
                self._start(dimension)
            while page := archive.vectors(self._agent, self._model, self._version, _PAGE):
                for each in page:
                    self._take(each.key, each.vector)
                self._version = page[-1].version
                self._move()
            others, self._others = self._others, set()
            return others

    def nearest(self, vector: bytes, count: int, keys: Iterable[str] = ()) -> tuple[dict[str, float], float]:
        """Return the similarity of the `count` nearest memories and of `keys`, by key, and that of an ordinary memory.

        The similarity of a memory is the cosine of its vector, and a part of those of its neighbours in time. That of an
        ordinary memory is one standard deviation above the mean; with fewer than 20 memories, 0.
        """
        np = self._numpy
        with self._lock:
            if not self._rows:
                return {}, 0.0
            question = np.frombuffer(vector, dtype="<f4")
            wanted = [self._rows[key] for key in keys if key in self._rows]
            gone = len(self._keys) - len(self._rows)
            if self._approximate is not None:
                mean, deviation = self._approximate.spread(question)
                near = self._approximate.nearest(question, _FURTHER * count + gone)
                compare: Callable[[Any], Any] = lambda places: self._approximate.similarities(question, places)  # type: ignore[union-attr]  # noqa: E731
            else:
                similar, error = self._compared(question)
                mean, deviation = float(similar.mean()), float(similar.std())
                near = self._best(similar, mean, error, count + gone)
                compare = lambda places: self._matrix[places] @ question  # noqa: E731
            found = self._ranked(near, wanted, compare, mean, count)
            few = len(self._rows) < 20  # noqa: PLR2004 - too few for a deviation
            return found, 0.0 if few else mean + deviation

    def drop(self, key: str) -> None:
        """Remove a memory."""
        with self._lock:
            self._others.discard(key)
            if self._rows.pop(key, None) is not None:
                self._ordered = False

    def _compared(self, question: Any) -> tuple[Any, float]:
        """Return the similarities of all vectors, and the standard deviation of their error."""
        count = len(self._keys)
        if count >= SCAN_FROM and self._bytes is None and not self._without_bytes:
            try:
                self._bytes = ByteRows(self._dimension)
            except ImportError:
                self._without_bytes = True
        if self._bytes is None:
            return self._matrix[:count] @ question, 0.0
        self._bytes.follow(self._matrix[:count], self._changed)
        self._changed.clear()
        return self._bytes.similarities(question)

    def _best(self, similar: Any, mean: float, error: float, count: int) -> Any:
        """Return the places of all vectors that may be among the `count` best, given their similarities with an error."""
        np = self._numpy
        places = self._line()
        line = similar[places]
        # A neighbour counts if it is nearer than the mean.
        beside = np.maximum(line - np.float32(mean), 0.0) * np.float32(_NEIGHBOUR)
        line[1:] += beside[:-1]
        line[:-1] += beside[1:]
        similar[places] = line
        most = min(len(self._keys), count)
        least = np.partition(similar, len(similar) - most)[-most]
        # The error of a sum with those of two neighbours, of the last one chosen and of one that should be chosen instead.
        margin = 2 * _DEVIATIONS * error * (1 + 2 * _NEIGHBOUR**2) ** 0.5
        return np.flatnonzero(similar >= least - np.float32(margin))

    def _ranked(self, near: Any, wanted: list[int], compare: Callable[[Any], Any], mean: float, count: int) -> dict[str, float]:
        """Return the best `count` of some places and those beside them in time, and the wanted ones, by key."""
        np = self._numpy
        line = self._line()
        near = np.concatenate([near, np.array(wanted, dtype=np.int64)])
        before, after = self._beside(line, near)
        places = np.unique(np.concatenate([near, before[before >= 0], after[after >= 0]]))
        before, after = self._beside(line, places)
        needed = np.unique(np.concatenate([places, before[before >= 0], after[after >= 0]]))
        known = compare(needed)
        scores = known[np.searchsorted(needed, places)]
        for beside in (before, after):
            # A neighbour counts if it is nearer than the mean.
            there = beside >= 0
            nearness = known[np.searchsorted(needed, beside[there])] - np.float32(mean)
            scores[there] += np.float32(_NEIGHBOUR) * np.maximum(nearness, 0.0)
        found: dict[str, float] = {}
        also = set(wanted)
        for at in np.argsort(-scores, kind="stable"):
            place = int(places[at])
            key = self._keys[place]
            if self._rows.get(key) == place and (len(found) < count or place in also):
                found[key] = float(scores[at])
            if len(found) >= count and not also:
                break
            also.discard(place)
        return found

    def _beside(self, line: Any, places: Any) -> tuple[Any, Any]:
        """Return the places of the episodes just before and just after those at some places; -1 where there is none."""
        np = self._numpy
        at = self._positions[places]
        before = np.where(at > 0, line[np.maximum(at - 1, 0)], -1) if self._count else np.full_like(at, -1)
        last = self._count - 1
        after = np.where((at >= 0) & (at < last), line[np.minimum(at + 1, last)], -1) if self._count else np.full_like(at, -1)
        return before, after

    def _move(self) -> None:
        """Move the vectors into an approximate index once they are many, and the later ones with each page."""
        if self._approximate is None:
            if len(self._keys) <= EXACT_UP_TO or self._refused:
                return
            try:
                self._approximate = ApproximateVectors(self._dimension)
            except ImportError:
                self._refused = True
                _log.warning(
                    "%d vectors of %s are compared one by one; install the extra 'index' (usearch) for a faster search",
                    len(self._keys),
                    self._agent,
                )
                return
        rows = len(self._keys) - self._moved
        self._approximate.add(self._moved, self._matrix[:rows])
        self._moved = len(self._keys)
        self._bytes = None
        self._matrix = self._numpy.zeros((_PAGE, self._dimension), dtype="<f4")

    def _start(self, dimension: int) -> None:
        self._dimension = dimension
        self._version = 0
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []
        self._others = set()
        self._approximate = None
        self._refused = False
        self._moved = 0
        self._bytes = None
        self._without_bytes = False
        self._changed = set()
        self._matrix = self._numpy.zeros((64, dimension), dtype="<f4")
        self._positions: Any = self._numpy.full(64, -1, dtype=self._numpy.int64)
        """The position of each row in the order of times; -1 if it is no episode."""
        self._places: Any = self._numpy.zeros(64, dtype=self._numpy.int64)
        """The rows of the episodes in the order of their times; the first `_count` are used."""
        self._count = 0
        self._latest = ""
        self._ordered = True

    def _take(self, key: str, vector: bytes) -> None:
        np = self._numpy
        row = np.frombuffer(vector, dtype="<f4")
        if len(row) != self._dimension:
            self._others.add(key)
            return
        self._others.discard(key)
        place = self._rows.get(key)
        if place is None or place < self._moved:
            # A vector in the approximate index cannot change: the memory gets a new row, and its place in time with it.
            self._ordered = self._ordered and place is None
            place = len(self._keys)
            if place - self._moved == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            if place == len(self._places):
                self._places = np.concatenate([self._places, np.zeros_like(self._places)])
                self._positions = np.concatenate([self._positions, np.full_like(self._positions, -1)])
            self._keys.append(key)
            self._rows[key] = place
            moment = _moment(key)
            if moment is not None:
                self._ordered = self._ordered and moment > self._latest
                self._latest = max(moment, self._latest)
                self._places[self._count] = place
                self._positions[place] = self._count
                self._count += 1
        elif self._bytes is not None and place < len(self._bytes):
            self._changed.add(place)
        self._matrix[place - self._moved] = row

    def _line(self) -> Any:
        """Return the rows of the episodes in the order of their times."""
        if not self._ordered:
            # A memory was deleted, or came late.
            line = sorted((moment, place) for key, place in self._rows.items() if (moment := _moment(key)) is not None)
            self._count = len(line)
            self._places[: self._count] = [place for _, place in line]
            self._positions[:] = -1
            self._positions[self._places[: self._count]] = self._numpy.arange(self._count)
            self._latest = line[-1][0] if line else ""
            self._ordered = True
        return self._places[: self._count]


def _moment(key: str) -> str | None:
    """Return a text that orders the episodes by the time when they were stored; None for other memories."""
    owner, kind, id = key.rsplit("/", 2) if key.count("/") > 1 else ("", "", "")  # noqa: A001 - the field's own name
    return f"{id.partition('-')[0]:>20}" if owner and kind == MemoryKind.EPISODE else None
