"""Recall: find candidate memories for a question, and rank them by text, meaning, recency and importance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from coterie.kernel import check_number
from coterie.memory.contract import RecordFilter
from coterie.memory.mind.meaning import AgentEmbeddings
from coterie.memory.record import MemoryRecord
from coterie.memory.tiered import TieredMemory
from coterie.telemetry import spans


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the parts of a score. Only their proportions matter. Raises `InvalidSetting`.

    A sum of standardised scores ranks better than a sum of reciprocal ranks, which ignores by how much one memory beats the next.
    Recency is small: with the weight of relevance it would hide old facts under recent chatter.
    """

    text: float = 1.0
    """BM25 of the words in common with the question. Without an embedder, that of the best match is the part of the question
    that it has; with one, text and meaning are standardised (see `comparable`)."""
    meaning: float = 1.0
    """Similarity of the vectors of the question and of the memory with its neighbours. Counts only with an embedder."""
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


def convex_sum(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the weighted mean of the parts; from 0 to 1 if they are. A missing part counts as 0."""
    # Exact sums: those of `sum` depend on the version of Python, and the order of memories on them.
    total = math.fsum(weights.values())
    return math.fsum(weight * parts.get(name, 0.0) for name, weight in weights.items()) / total if total else 0.0


_CANDIDATES = 50
"""The minimum of candidates from each kind of search."""
_MOST_CANDIDATES = 10_000
"""The maximum of candidates, if most of them are not valid."""
_TINY = 1e-9
"""A deviation below this is none."""


def is_valid(record: MemoryRecord, at: float) -> bool:
    """Return whether a memory is valid at a time."""
    since, until = record.valid_from, record.valid_until
    return (since is None or since <= at) and (until is None or at < until)


def rank_memories(
    memory: TieredMemory,
    question: str,
    k: int,
    *,
    weights: Weights,
    meaning: AgentEmbeddings | None,
    which: RecordFilter,
    valid_at: float,
) -> list[tuple[MemoryRecord, float, dict[str, float]]]:
    """Return the memories that answer a question best, with scores and their parts, best first.

    The score is a convex sum of text, meaning, recency and importance, each from 0 to 1. Memories without words in common with
    the question and without a similar meaning are left out, and so are those that are not valid at a time.
    """
    with spans.span("recall", {"coterie.k": k} if spans.is_tracing() else {}) as span:
        span.set_content("coterie.question", lambda: question)
        ranked = _ranked(memory, question, k, weights, meaning, which, valid_at)
        span.set({"coterie.found": len(ranked)})
        return ranked


def _ranked(
    memory: TieredMemory,
    question: str,
    k: int,
    weights: Weights,
    meaning: AgentEmbeddings | None,
    which: RecordFilter,
    valid_at: float,
) -> list[tuple[MemoryRecord, float, dict[str, float]]]:
    now = memory.clock.time()
    most = max(_CANDIDATES, 3 * k)
    while True:
        all_hits = memory.search_within(question, which, most)
        hits = [hit for hit in all_hits if is_valid(hit.record, valid_at)]
        if len(hits) >= k or len(all_hits) < most or most >= _MOST_CANDIDATES:
            break
        # Facts that do not hold any more leave no room for those that do.
        most *= 4
    found = {hit.record.key: hit.record for hit in hits}
    text = {hit.record.key: hit.score for hit in hits}
    near, similar = meaning.nearest(question, most, which, [*found]) if meaning is not None else ({}, 0.0)
    closest = {key: score for key, score in near.items() if key not in found and score > similar}
    for record in memory.records.get_many(closest).values():
        if which.is_met_by(record) and is_valid(record, valid_at):
            found[record.key] = record
    if near:
        # A memory without a vector is as far as the farthest.
        farthest = min(near.values())
        text, nearness = comparable({key: text.get(key, 0.0) for key in found}, {key: near.get(key, farthest) for key in found})
    else:
        # The best match is as good as the part of the question that it has.
        text, nearness = {key: score * hits[0].coverage for key, score in normalised(text).items()}, {}
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
            parts["meaning"] = nearness[key]
        ranked.append((record, convex_sum(parts, counts), parts))
    ranked.sort(key=lambda each: (each[1], each[0].created, each[0].version), reverse=True)
    return ranked


def comparable(*scores: dict[str, float]) -> tuple[dict[str, float], ...]:
    """Return scores of several kinds for the same memories on one scale from 0 to 1.

    Each kind is standardised: a score counts by how many standard deviations it is above the least one. A kind in which one
    memory stands out so counts more than one in which all are alike, whatever their units. The greatest of all is 1.
    """
    spread = []
    for kind in scores:
        deviation = statistics.pstdev(kind.values()) if len(kind) > 1 else 0.0
        least = min(kind.values(), default=0.0)
        if deviation > _TINY:
            spread.append({key: (score - least) / deviation for key, score in kind.items()})
        else:
            spread.append({key: float(score > 0.0) for key, score in kind.items()})
    most = max((score for kind in spread for score in kind.values()), default=0.0) or 1.0
    return tuple({key: score / most for key, score in kind.items()} for kind in spread)
