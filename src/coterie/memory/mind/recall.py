"""Recall: find candidate memories for a question, and rank them by text, meaning, recency and importance."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

from coterie.concurrency import CONTAINED, Rank, new_lock
from coterie.errors import ExtraMissing
from coterie.kernel import check_number
from coterie.memory.contract import RecordFilter
from coterie.memory.embedding import CachedEmbedder, Embedder, VectorIndex, pack_vector
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the parts of a score. Only their proportions matter. Raises `InvalidSetting`.

    A sum of normalised scores ranks better than a sum of reciprocal ranks, which ignores by how much one memory beats the next.
    Recency is small: with the weight of relevance it would hide old facts under recent chatter.
    """

    text: float = 1.0
    """BM25 of the words in common with the question: that of the best match is the part of the question that it has."""
    meaning: float = 1.0
    """Similarity of the vectors, from the farthest found to the nearest. Counts only with an embedder."""
    recency: float = 0.05
    """1 now, 0.5 after `half_life`."""
    importance: float = 0.05
    """The importance of the memory."""
    half_life: float = 86_400.0
    """Seconds."""

    def __post_init__(self) -> None:
        for name in ("text", "meaning", "recency", "importance"):
            check_number(f"Weights.{name}", getattr(self, name))
        check_number("Weights.half_life", self.half_life, above=0)


def recency(age: float, half_life: float) -> float:
    """Return the recency of an age: 1 at 0, 0.5 at `half_life`, towards 0."""
    return math.pow(0.5, max(0.0, age) / half_life)


def normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores above 0 relative to the greatest."""
    most = max(scores.values(), default=0.0)
    return {key: score / most for key, score in scores.items()} if most > 0 else dict.fromkeys(scores, 0.0)


def rescaled(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores scaled so that the least is 0 and the greatest is 1."""
    if not scores:
        return {}
    least, most = min(scores.values()), max(scores.values())
    if most == least:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - least) / (most - least) for key, score in scores.items()}


def convex_sum(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the weighted mean of the parts; from 0 to 1 if they are. A missing part counts as 0."""
    # Exact sums: those of `sum` depend on the version of Python, and the order of memories on them.
    total = math.fsum(weights.values())
    return math.fsum(weight * parts.get(name, 0.0) for name, weight in weights.items()) / total if total else 0.0


_log = logging.getLogger(__name__)

_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)
_CANDIDATES = 50
"""The minimum of candidates from each kind of search."""
_TOGETHER = 64
"""The maximum of texts in one call of an embedder."""


class AgentEmbeddings:
    """Vectors of one agent's memories, made on demand. Safe from many threads; `_lock` guards `_todo`."""

    def __init__(self, memory: TieredMemory, agent: str, embedder: Embedder) -> None:
        self.failures = 0
        self._memory = memory
        self._embedder = embedder if isinstance(embedder, CachedEmbedder) else CachedEmbedder(embedder)
        self._index = VectorIndex(agent, embedder.model)
        self._lock = new_lock(Rank.RECORDS)
        self._todo: dict[str, str] = {}
        found = memory.records.all_of(agent, _KINDS)
        self._todo = {record.key: record.text for record in reversed(found) if record.model != embedder.model}

    def note(self, key: str, text: str) -> None:
        """Schedule the embedding of a memory."""
        with self._lock:
            self._todo[key] = text

    def nearest(self, question: str, count: int) -> dict[str, float]:
        """Return the similarity of the nearest memories by key. Empty if the embedder fails, which is logged."""
        try:
            self._catch_up()
            self._memory.records.catch_up()
            self._index.catch_up(self._memory.records.archive)
            return dict(self._index.nearest(pack_vector(self._embedder.embed([question])[0]), count))
        except ExtraMissing:
            raise
        except CONTAINED:  # user code; logged, and recall by words still works
            self.failures += 1
            _log.exception("recalling by words only: the embedder %s failed", self._embedder.model)
            return {}

    def drop(self, key: str) -> None:
        """Remove a memory."""
        with self._lock:
            self._todo.pop(key, None)
        self._index.drop(key)

    def _catch_up(self) -> None:
        while True:
            with self._lock:
                batch = dict(list(self._todo.items())[:_TOGETHER])
            if not batch:
                return
            vectors = self._embedder.embed(list(batch.values()))
            for key, vector in zip(batch, vectors, strict=True):
                self._memory.records.attach_vector(key, self._embedder.model, pack_vector(vector))
            with self._lock:
                for key, text in batch.items():
                    if self._todo.get(key) == text:
                        del self._todo[key]


def rank_memories(
    memory: TieredMemory,
    question: str,
    k: int,
    *,
    weights: Weights,
    meaning: AgentEmbeddings | None,
    which: RecordFilter,
) -> list[tuple[MemoryRecord, float, dict[str, float]]]:
    """Return the memories that answer a question best, with scores and their parts, best first.

    The score is a convex sum of text, meaning, recency and importance, each from 0 to 1. Memories without words in common with
    the question and without a similar meaning are left out.
    """
    now = memory.clock.time()
    most = max(_CANDIDATES, 3 * k)
    hits = memory.search_within(question, which, most)
    found = {hit.record.key: hit.record for hit in hits}
    text = normalised({hit.record.key: hit.score for hit in hits})
    if hits:
        # The best match is as good as the part of the question that it has.
        text = {key: score * hits[0].coverage for key, score in text.items()}
    near = meaning.nearest(question, most) if meaning is not None else {}
    for record in memory.records.get_many(key for key in near if key not in found).values():
        if which.is_met_by(record):
            found[record.key] = record
    nearness = rescaled({key: score for key, score in near.items() if key in found})
    counts = {"text": weights.text, "recency": weights.recency, "importance": weights.importance}
    if nearness:
        counts["meaning"] = weights.meaning
    ranked = []
    for key, record in found.items():
        parts = {
            "text": text.get(key, 0.0),
            "recency": recency(now - record.created, weights.half_life),
            "importance": record.importance,
        }
        if nearness:
            parts["meaning"] = nearness.get(key, 0.0)
        ranked.append((record, convex_sum(parts, counts), parts))
    ranked.sort(key=lambda each: (each[1], each[0].created, each[0].version), reverse=True)
    return ranked
