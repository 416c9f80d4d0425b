"""Weighing what was found: text, meaning, recency and importance in one number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from coterie.kernel import check_number


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part counts, against the others. Only their proportions matter.

    The sum of normalised scores ranks better than the sum of reciprocal ranks, which forgets by how much one memory beats
    the next. Recency is small: to weigh it as much as relevance buries old facts under fresh chatter.
    """

    text: float = 1.0
    """Words in common with the question, by BM25, against the best of them."""
    meaning: float = 1.0
    """Nearness of the vectors, from the farthest found to the nearest. EpisodeCounts only with an embedder."""
    recency: float = 0.05
    """1 now, a half after `half_life`."""
    importance: float = 0.05
    """As it was given."""
    half_life: float = 86_400.0
    """Seconds."""

    def __post_init__(self) -> None:
        for name in ("text", "meaning", "recency", "importance"):
            check_number(f"Weights.{name}", getattr(self, name))
        check_number("Weights.half_life", self.half_life, above=0)


def recency(age: float, half_life: float) -> float:
    """Return how recent something is: 1 if it is new, a half at `half_life`, towards 0."""
    return math.pow(0.5, max(0.0, age) / half_life)


def normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores above 0 as parts of the greatest."""
    most = max(scores.values(), default=0.0)
    return {key: score / most for key, score in scores.items()} if most > 0 else dict.fromkeys(scores, 0.0)


def spread(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores, of which the least may be far from 0, from 0 for the least to 1 for the greatest."""
    if not scores:
        return {}
    least, most = min(scores.values()), max(scores.values())
    if most == least:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - least) / (most - least) for key, score in scores.items()}


def convex_sum(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the mean of the parts, weighed; from 0 to 1 if they are. A part that is missing counts as 0."""
    total = sum(weights.values())
    return sum(weight * parts.get(name, 0.0) for name, weight in weights.items()) / total if total else 0.0
