"""Words for full-text search: tokens of a text, and the query of a question.

A question is reduced to the words that can tell one memory from another. The main reason is speed: a common word in a long
question makes a search visit most of the memories.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import snowballstemmer

MAX_WORDS = 12
"""The maximum of words in a query; the longest are kept."""

_LONGEST = 64
"""The number of significant characters of a word, as in the stemmers of the databases."""

_WORD = re.compile(r"[^\W_]+")
_APOSTROPHE = re.compile(r"['\u2019](?:s|d|m|t|ll|re|ve)\b", re.IGNORECASE)

STOP_WORDS = frozenset(
    """
    a about above after again against all also am an and any are aren as at be because been before being below between
    both but by can cannot could couldn did didn do does doesn doing don down during each ever few for from further get
    gets getting give go goes going got had hadn has hasn have haven having he her here hers herself him himself his how
    however i if in into is isn it its itself just kind let like ll lot m many me might mightn more most much mustn
    my myself need no nor not now of off on once one only or other our ours ourselves out over own please re really s
    same say says shall shan she should shouldn so some someone something such t tell than that the their theirs them
    themselves then there these they thing things this those through to too type under until up upon us ve very was
    wasn we were weren what whatever when where whether which while who whom whose why will with won would wouldn yes
    yet you your yours yourself yourselves
    """.split()  # noqa: SIM905 - a list literal would be longer and less clear
)
"""English words that do not tell texts apart."""


def words_of(text: str) -> list[str]:
    """Return the words of a text in order, in lower case, without apostrophes and their endings."""
    return _WORD.findall(_APOSTROPHE.sub("", text).lower())


def stems_of(text: str) -> list[str]:
    """Return the stems of the words of a text in order, without stop words."""
    return [stem(word) for word in words_of(text) if word not in STOP_WORDS]


def query_words(question: str, max_words: int = MAX_WORDS) -> tuple[str, ...]:
    """Return the words of a question to search for: each stem once, without stop words, capped in number.

    Of more than `max_words` words the longest stay, in order: a longer word is usually rarer. A question of only stop words keeps
    them. Empty if the question contains no word.
    """
    found = words_of(question)
    telling: dict[str, str] = {}
    for word in [each for each in found if each not in STOP_WORDS] or found:
        telling.setdefault(stem(word), word)
    words = list(telling.values())
    if len(words) > max_words:
        longest = sorted(words, key=len, reverse=True)[:max_words]
        words = [word for word in words if word in longest]
    return tuple(words)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the stem of a word in lower case, by Porter's algorithm ("An algorithm for suffix stripping", 1980)."""
    # A stemmer has mutable state, so threads may not share one. A very long string is no word, but may be megabytes of other
    # data.
    return (
        str(snowballstemmer.stemmer("porter").stemWord(word)) if word.isascii() and len(word) <= _LONGEST else word[:_LONGEST]
    )


def text_of(value: Any) -> str:
    """Return all text in a plain value in order, without the keys of dictionaries."""
    if isinstance(value, str):
        return value
    found: list[str] = []
    _gather(value, found)
    return " ".join(found)


def _gather(value: Any, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
        return
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for each in value:
        if isinstance(each, str):
            found.append(each)
        else:
            _gather(each, found)
