"""A full-text index in process, ranked by BM25."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable

from coterie.memory.text.analysis import terms_of
from coterie.memory.text.ranking import CONTEXT, MOST_TOTAL, Document, QuestionTerms, candidates_for, rarest

_BUDGET = 30_000
"""The maximum of postings that one search visits, beyond those of its rarest word."""


class TextIndex:
    """The terms of documents with a text and a context. Not safe from many threads; its owner guards it."""

    def __init__(self) -> None:
        self._postings: dict[str, dict[str, float]] = {}
        self._documents: dict[str, Document] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def add(self, key: str, text: str, context: str) -> None:
        """Index a document under a key, in place of an existing one."""
        self.discard(key)
        in_text, in_context = Counter(terms_of(text)), Counter(terms_of(context))
        if not in_text and not in_context:
            return
        for term in in_text.keys() | in_context.keys():
            self._postings.setdefault(term, {})[key] = in_text[term] + CONTEXT * in_context[term]
        self._documents[key] = Document(in_text, in_context, in_text.total(), in_context.total())

    def discard(self, key: str) -> None:
        """Remove a document if it exists."""
        document = self._documents.pop(key, None)
        if document is None:
            return
        for term in document.text.keys() | document.context.keys():
            postings = self._postings[term]
            del postings[key]
            if not postings:
                del self._postings[term]

    def count(self, question: QuestionTerms) -> list[int]:
        """Return the number of documents with each word of a question."""
        return [len(self._matching(forms)) for forms in question.words]

    def candidates(
        self, question: QuestionTerms, frequencies: list[int], limit: int, wanted: Callable[[str], bool]
    ) -> list[tuple[str, Document]]:
        """Return the best documents for which `wanted` returns True, to be ranked, with their keys.

        It looks up the rarest words, and leaves out common ones beyond the budget.
        """
        scores: dict[str, float] = {}
        total = len(self._documents)
        for place in rarest(frequencies, _BUDGET):
            rarity = math.log(1.0 + total / frequencies[place])
            for key, count in self._matching(question.words[place]).items():
                scores[key] = scores.get(key, 0.0) + rarity * count / (count + 1.0)
        best = heapq.nlargest(candidates_for(limit), ((score, key) for key, score in scores.items() if wanted(key)))
        return [(key, self._documents[key]) for _, key in best]

    def search(self, question: QuestionTerms, limit: int) -> list[tuple[float, float, str]]:
        """Return (score, coverage, key) of the best documents, best first."""
        frequencies = self.count(question)
        found = self.candidates(question, frequencies, limit, lambda _: True)
        ranks = question.rank([each for _, each in found], frequencies, min(len(self._documents), MOST_TOTAL))
        return heapq.nlargest(limit, ((*rank, key) for rank, (key, _) in zip(ranks, found, strict=True)))

    def _matching(self, forms: dict[str, float]) -> dict[str, float]:
        """Return the documents with any form of a word, each with the weight of its occurrences."""
        found: dict[str, float] = {}
        for form, weight in forms.items():
            for key, count in self._postings.get(form, {}).items():
                found[key] = max(found.get(key, 0.0), weight * count)
        return found
