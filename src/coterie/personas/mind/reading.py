"""Finding in a text what was answered: the option that is named, the number that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)?(?![\w]|[.,]\d)")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORD_NUMBER = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)


def first_number(text: str, fits: Callable[[float], bool]) -> float | None:
    """Return the first number of a text that fits, in digits or, up to ten, in words; None if there is none."""
    found = [(match.start(), float(match[0].replace(",", "."))) for match in _NUMBER.finditer(text)]
    found += [(match.start(), float(_WORDS.index(match[0].lower()))) for match in _WORD_NUMBER.finditer(text)]
    return next((value for _, value in sorted(found) if fits(value)), None)


def first_named(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a text names first, as whole words and whatever its capitals; of several there the longest."""
    places = []
    for option in options:
        match = re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)
        if match is not None:
            places.append((match.start(), -len(option), option))
    return min(places)[2] if places else None
