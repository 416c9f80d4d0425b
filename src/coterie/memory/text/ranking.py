"""Ranking of the documents that a search found, the same for every backend.

A database selects candidates by a score of its own; this ranks them. After Robertson and Zaragoza, "The probabilistic relevance
framework: BM25 and beyond", 2009, section 3.6 (BM25F): the text and its context are normalised by their own lengths, so that a
long neighbour does not weigh on a short memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coterie.memory.text.analysis import weighted_forms

_K1 = 0.9
_B = 0.3
"""The constants of BM25: saturation by repetition, and normalisation by length. Memories are short, and a turn of one word says
not more than one of ten; so both are below the usual 1.2 and 0.75 of documents."""
CONTEXT = 0.5
"""The weight of a word in the context; one in the text has 1."""
MOST_COUNTED = 200
"""The maximum of times that a term of one document counts."""
MOST_TOTAL = 10_000
"""The maximum to which documents are counted."""


class Document(NamedTuple):
    """A candidate: the counts of the question's terms in its two fields, and the numbers of all terms in them."""

    text: Mapping[str, int]
    context: Mapping[str, int]
    text_length: int
    context_length: int


class DocumentRank(NamedTuple):
    """The rank of a document."""

    score: float
    coverage: float
    """The part of the question's words that it has, weighed by their rarity; from 0 to 1."""


class QuestionTerms:
    """The words of a question, each with the terms that match it and their weights."""

    def __init__(self, words: Sequence[str], languages: tuple[str, ...]) -> None:
        self.words = [weighted_forms(word, languages) for word in words]
        self.terms = frozenset(term for forms in self.words for term in forms)

    def rank(self, documents: Sequence[Document], frequencies: Sequence[int], total: int) -> list[DocumentRank]:
        """Return the rank of each document, in order.

        `frequencies` are the numbers of documents with each word, of `total` documents.
        """
        if not documents:
            return []
        text_norms = _norms([each.text_length for each in documents])
        context_norms = _norms([each.context_length for each in documents])
        most = max(total, *frequencies, 1)
        rarities = [math.log(1.0 + (most - number + 0.5) / (number + 0.5)) for number in frequencies]
        # Words that no document has tell how much of the question is unanswered.
        whole = math.fsum(rarities) or 1.0
        ranks = []
        for each, text_norm, context_norm in zip(documents, text_norms, context_norms, strict=True):
            score = covered = 0.0
            for forms, rarity in zip(self.words, rarities, strict=True):
                in_text = _count(forms, each.text) / text_norm
                in_context = _count(forms, each.context) / context_norm
                weighted = in_text + CONTEXT * in_context
                if weighted > 0.0:
                    score += rarity * weighted * (_K1 + 1.0) / (weighted + _K1)
                    covered += rarity * max(
                        weight if term in each.text else CONTEXT * weight
                        for term, weight in forms.items()
                        if term in each.text or term in each.context
                    )
            ranks.append(DocumentRank(score, covered / whole))
        return ranks


def _count(forms: Mapping[str, float], counts: Mapping[str, int]) -> float:
    return max((weight * min(counts[term], MOST_COUNTED) for term, weight in forms.items() if term in counts), default=0.0)


def _norms(lengths: Sequence[int]) -> list[float]:
    """Return the normalisation by each length: 1 for the average length."""
    average = math.fsum(lengths) / len(lengths) or 1.0
    return [1.0 - _B + _B * length / average for length in lengths]


def rarest(counts: Sequence[int], budget: int) -> list[int]:
    """Return the places of the words to search for, rarest first, given the number of documents with each.

    Words without documents are left out, and so are the commonest beyond the budget of documents.
    """
    chosen: list[int] = []
    visited = 0
    for number, place in sorted((number, place) for place, number in enumerate(counts)):
        if number == 0:
            continue
        if chosen and visited + number > budget:
            break
        visited += number
        chosen.append(place)
    return chosen


def candidates_for(limit: int) -> int:
    """Return the number of candidates to rank for a search of that limit."""
    return 2 * limit + 50
