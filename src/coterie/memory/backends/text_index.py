"""A full-text index in process, ranked by BM25."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable

from coterie.memory.words import stem, stems_of

_K1 = 1.2
_B = 0.75
"""The usual constants of BM25: saturation by repetition, and normalisation by length."""
_CONTEXT = 0.5
"""The weight of a word in the context; one in the text has 1."""
_BUDGET = 30_000
"""The maximum of postings that one search visits, beyond those of its rarest word."""


class TextIndex:
    """Ranks documents by BM25 over stemmed words in two fields.

    After Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009, section 3.6. Not safe from
    many threads; its owner guards it.
    """

    def __init__(self) -> None:
        self._postings: dict[str, dict[str, float]] = {}
        self._documents: dict[str, tuple[tuple[str, ...], float]] = {}
        self._length = 0.0

    def __len__(self) -> int:
        return len(self._documents)

    def add(self, key: str, text: str, context: str) -> None:
        """Index a document under a key, in place of an existing one."""
        self.discard(key)
        weights: dict[str, float] = {}
        for field, weight in ((text, 1.0), (context, _CONTEXT)):
            for word, count in Counter(stems_of(field)).items():
                weights[word] = weights.get(word, 0.0) + weight * count
        if not weights:
            return
        for word, total in weights.items():
            self._postings.setdefault(word, {})[key] = total
        length = math.fsum(weights.values())
        self._documents[key] = (tuple(weights), length)
        self._length += length

    def discard(self, key: str) -> None:
        """Remove a document if it exists."""
        document = self._documents.pop(key, None)
        if document is None:
            return
        words, length = document
        self._length -= length
        for word in words:
            postings = self._postings[word]
            del postings[key]
            if not postings:
                del self._postings[word]

    def search(self, words: Iterable[str], limit: int, wanted: Callable[[str], bool]) -> list[tuple[float, str]]:
        """Return (score, key) of the best documents for which `wanted` returns True, best first.

        It looks up the rarest words first, and leaves out common ones beyond the budget.
        """
        scores: dict[str, float] = {}
        total = len(self._documents)
        average = self._length / total if total else 1.0
        visited = 0
        for postings in sorted((self._postings[each] for each in map(stem, words) if each in self._postings), key=len):
            if visited and visited + len(postings) > _BUDGET:
                break
            visited += len(postings)
            rarity = math.log(1.0 + (total - len(postings) + 0.5) / (len(postings) + 0.5))
            for key, count in postings.items():
                norm = _K1 * (1.0 - _B + _B * self._documents[key][1] / average)
                scores[key] = scores.get(key, 0.0) + rarity * count * (_K1 + 1.0) / (count + norm)
        found = ((score, key) for key, score in scores.items() if wanted(key))
        return heapq.nlargest(limit, found)
