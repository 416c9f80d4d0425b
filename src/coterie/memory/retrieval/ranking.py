"""The ranking: text, meaning, recency and importance in one score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from coterie.kernel import check_number


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the parts of a score. Only their proportions matter.

    A sum of normalised scores ranks better than a sum of reciprocal ranks, which ignores by how much one memory beats the next.
    Recency is small: with the weight of relevance it would hide old facts under recent chatter.
    """

    text: float = 1.0
    """BM25 of the words in common with the question, relative to the best."""
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
    total = sum(weights.values())
    return sum(weight * parts.get(name, 0.0) for name, weight in weights.items()) / total if total else 0.0
