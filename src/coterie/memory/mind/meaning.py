"""The vectors of one agent's memories: made on demand and in the background, and compared with those of questions."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError, EmbeddingFailed, ExtraMissing
from coterie.memory.contract import RecordFilter
from coterie.memory.embedding import CachedEmbedder, Embedder, pack_vector
from coterie.memory.embeddings.styles import PASSAGE, QUERY
from coterie.memory.embeddings.vector_index import VectorIndex
from coterie.memory.record import MemoryKind
from coterie.memory.tiered import TieredMemory

_log = logging.getLogger(__name__)

_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)
_TOGETHER = 64
"""The maximum of texts in one call of an embedder."""
_AT_ONCE = 1_024
"""The maximum of texts that one question embeds itself; a background thread embeds the others."""
_LONGEST = 8_000
"""The number of characters of a text that are embedded: most models read fewer, and some refuse longer texts."""
_CHOSEN = 1_000
"""Up to this many memories of a filter are compared themselves; of more, the nearest are filtered."""


class AgentEmbeddings:
    """Vectors of one agent's memories. Safe from many threads; `_lock` guards `_todo`, `_again` and `_running`."""

    def __init__(self, memory: TieredMemory, agent: str, embedder: Embedder) -> None:
        self.failures = 0
        self._memory = memory
        self._embedder = embedder if isinstance(embedder, CachedEmbedder) else CachedEmbedder(embedder)
        self._space = self._embedder.space
        self._similar = self._embedder.similar
        self._index = VectorIndex(agent, self._space)
        self._lock = new_lock(Rank.RECORDS)
        self._todo: dict[str, str] = {}
        self._again: set[tuple[str, int]] = set()
        """Memories that were embedded anew, because their vectors had another dimension than this."""
        self._running = False
        """Whether a background thread embeds."""
        found = memory.records.all_of(agent, _KINDS)
        self._todo = {record.key: record.text for record in reversed(found) if record.model != self._space}

    def note(self, key: str, text: str) -> None:
        """Schedule the embedding of a memory."""
        with self._lock:
            self._todo[key] = text

    def nearest(self, question: str, count: int, which: RecordFilter, keys: Sequence[str]) -> tuple[dict[str, float], float]:
        """Return the similarity of the nearest memories of a filter and of `keys`, by key, and that of a similar one.

        Empty if the embedder fails, which is logged.
        """
        if not question.strip():
            return {}, 0.0
        try:
            vector = pack_vector(self._embedder.embed([question[:_LONGEST]], QUERY)[0])
            self._catch_up(_AT_ONCE)
            self._memory.records.catch_up()
            others = self._index.catch_up(self._memory.records.archive, len(vector) // 4)
            if others and self._embed_anew(others, len(vector) // 4):
                self._memory.records.catch_up()
                self._index.catch_up(self._memory.records.archive, len(vector) // 4)
            return self._compare(vector, count, which, keys)
        except ExtraMissing:
            raise
        except Exception:  # noqa: BLE001 - user code; logged, and recall by words still works
            self.failures += 1
            _log.exception("recalling by words only: the embedder %s failed", self._embedder.model)
            return {}, 0.0

    def drop(self, key: str) -> None:
        """Remove a memory."""
        with self._lock:
            self._todo.pop(key, None)
        self._index.drop(key)

    def _compare(self, vector: bytes, count: int, which: RecordFilter, keys: Sequence[str]) -> tuple[dict[str, float], float]:
        if set(which.kinds) >= set(_KINDS) and not which.where and which.after is None and which.before is None:
            near, ordinary = self._index.nearest(vector, count, keys)
            return near, self._least(ordinary)
        chosen = [record.key for record in self._memory.records.recent(which, _CHOSEN)]
        if len(chosen) < _CHOSEN:
            near, ordinary = self._index.nearest(vector, 1, [*chosen, *keys])
            wanted = {*chosen, *keys}
            return {key: score for key, score in near.items() if key in wanted}, self._least(ordinary)
        near, ordinary = self._index.nearest(vector, 8 * count, keys)
        there = self._memory.records.get_many(near)
        return {key: near[key] for key, record in there.items() if which.is_met_by(record)}, self._least(ordinary)

    def _least(self, ordinary: float) -> float:
        return max(ordinary, self._similar or 0.0)

    def _embed_anew(self, keys: set[str], dimension: int) -> bool:
        """Schedule the embedding of memories whose vectors have another dimension. Return whether some are done already."""
        with self._lock:
            new = {key for key in keys if (key, dimension) not in self._again}
            self._again.update((key, dimension) for key in new)
        if not new:
            return False
        records = self._memory.records.get_many(new)
        _log.warning(
            "%s makes vectors of %d numbers now; %d memories have others and are embedded anew",
            self._embedder.model,
            dimension,
            len(records),
        )
        with self._lock:
            self._todo.update((key, record.text) for key, record in records.items())
        self._catch_up(_AT_ONCE)
        return True

    def _catch_up(self, most: int) -> None:
        """Embed up to `most` scheduled memories, and let a background thread embed the others."""
        while most > 0 and self._embed_some():
            most -= _TOGETHER
        with self._lock:
            start = bool(self._todo) and not self._running
            self._running = self._running or start
        if start:
            self._memory.records.in_background(self._embed_rest)

    def _embed_rest(self) -> None:
        """Embed one batch and schedule the next, so that closing the store need not wait for all."""
        more = False
        try:
            more = self._embed_some()
        except Exception:  # noqa: BLE001 - user code; the next question tries again
            self.failures += 1
            _log.exception("memories wait for the embedder %s, which failed", self._embedder.model)
        try:
            if more:
                self._memory.records.in_background(self._embed_rest)
        except CoterieError:
            # The store closes; the next handle finds which memories have no vector.
            more = False
        finally:
            if not more:
                with self._lock:
                    self._running = False

    def _embed_some(self) -> bool:
        """Embed one batch of scheduled memories, and return whether there are more."""
        with self._lock:
            batch = dict(list(self._todo.items())[:_TOGETHER])
        if not batch:
            return False
        vectors = self._embedder.embed([text[:_LONGEST] for text in batch.values()], PASSAGE)
        for key, vector in zip(batch, vectors, strict=True):
            try:
                packed = pack_vector(vector)
            except EmbeddingFailed as error:
                # It is found by its words.
                self.failures += 1
                _log.error("%s stays without a vector: %s", key, error)
                continue
            self._memory.records.attach_vector(key, self._space, packed)
        with self._lock:
            for key, text in batch.items():
                if self._todo.get(key) == text:
                    del self._todo[key]
            return bool(self._todo)
