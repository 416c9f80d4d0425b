"""Summarisers: functions that make insights from episodes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from coterie.memory.mind.items import Memory
from coterie.memory.retrieval.words import stems_of

_GROUP = 10
"""The maximum of episodes in one insight."""
_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Insight:
    """A semantic memory to store, made from episodes."""

    value: Any
    sources: tuple[str, ...]
    """The ids of the episodes that it cites; at least one."""
    importance: float = 0.5
    text: str | None = None
    """The searchable text; all text in the value by default."""
    valid_from: float | None = None
    valid_until: float | None = None


Summariser: TypeAlias = Callable[[Sequence[Memory]], Sequence[Insight]]
"""A function that makes insights from episodes in the order of storing. It may be slow, and may call a language model."""


def extractive_summary(episodes: Sequence[Memory]) -> list[Insight]:
    """Return one insight for every ten consecutive episodes, made of their most telling sentences.

    A sentence scores by how common its words are among the episodes of its group, divided by its length, and by the importance
    of its episode (after Nenkova and Vanderwende, "The impact of frequency on summarization", 2005: the words of a chosen
    sentence count less for the next). Deterministic; it needs no language model.
    """
    return [_insight(episodes[first : first + _GROUP]) for first in range(0, len(episodes), _GROUP)]


def _insight(group: Sequence[Memory]) -> Insight:
    sentences = [
        (sentence.strip(), stems_of(sentence), memory.importance)
        for memory in group
        for sentence in _SENTENCE.split(memory.text)
        if sentence.strip()
    ]
    counts = Counter(stem for _, stems, _ in sentences for stem in stems)
    total = sum(counts.values()) or 1
    weights = {stem: count / total for stem, count in counts.items()}
    chosen: set[int] = set()
    for _ in range(min(_SENTENCES, len(sentences))):
        best = max(
            (place for place in range(len(sentences)) if place not in chosen),
            key=lambda place: _worth(sentences[place], weights),
        )
        chosen.add(best)
        for stem in sentences[best][1]:
            weights[stem] **= 2
    words = " ".join(dict.fromkeys(sentences[place][0] for place in sorted(chosen)))
    return Insight(
        value={"content": words, "type": "summary", "episodes": len(group)},
        sources=tuple(memory.id for memory in group),
        importance=max(memory.importance for memory in group),
        text=words,
        valid_from=min(memory.created for memory in group),
    )


def _worth(sentence: tuple[str, list[str], float], weights: dict[str, float]) -> float:
    _, stems, importance = sentence
    return sum(weights[stem] for stem in stems) / len(stems) * (0.5 + importance) if stems else 0.0
