"""The terms of a text, by which a full-text index finds it, and those of a question.

All backends index these terms and nothing else, so that all of them find the same. A term has no spaces, and its only ASCII
characters are small letters, digits and `TERM_CHARACTERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from coterie.memory.text.folding import CLUSTER, HAN, HANGUL, HIRAGANA, KANA, REGION, SYMBOL, cased, classes_of, folded
from coterie.memory.text.languages import LONGEST, forms_of, hinted_languages, is_stop_word, languages_of

VERSION = 2
"""The version of the analysis. Databases that were indexed by an earlier one are indexed anew."""

TERM_CHARACTERS = "+#.@-_&$%,:"
"""ASCII characters that a term may contain besides letters and digits."""

MAX_BYTES = 800_000
"""The maximum of bytes of the different terms of one text, about 60,000 words: PostgreSQL stores no more. Later words of a
longer text are not indexed."""

MAX_WORDS = 12
"""The maximum of words in a query; the longest are kept."""
_MAX_PIECES = 24
"""The maximum of n-grams in a query."""
_MAX_STEMMED = 20_000
"""The maximum of different words of one text that are stemmed, in a second or two; later ones are found as they are written."""

_WORD = r"(?:(?<![^\s(\[\"])[.#@])?[{a}{d}]+(?:(?:[.@&_+'\-]|(?<=[{d}])[,:](?=[{d}]))[{a}{d}]+)*(?:\+\+|#)?"
_ASCII = re.compile(_WORD.format(a="a-z", d="0-9") + "|[$%&]")
_CLASSES = re.compile(
    "|".join(
        (
            _WORD.format(a="a", d="d"),
            f"[{HAN}{KANA}{HIRAGANA}]+",
            f"{CLUSTER}[{CLUSTER}mv]*",
            f"{HANGUL}+",
            f"{REGION}{REGION}",
            SYMBOL,
            "[$%&]",
        )
    )
)
_APOSTROPHE = re.compile(r"(?<=[a-z])'(?:s|d|m|t|ll|re|ve)\b")
_PARTS = re.compile(r"[^.@&_+'\-#,:]+")
_SYLLABLES = re.compile(r"\w(?:[\u17d2\u1039].|[^\w\s])*", re.DOTALL)
_LONG_NUMBER = re.compile(r"(?<![\w.,])\+?\(?\d(?:[ ()/.\-]{0,2}\d){6,}(?!\w|,\d)")
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
"""The lengths of numbers that are found in every grouping: telephone numbers (ITU-T E.164) and others like them."""
_NATIONAL = 10
"""Up to this length the last digits of such a number find it: the number without the codes of its country and area."""
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_VERSION = re.compile(r"v(\d+(?:\.\d+)+)")
_STEM = 0.9
_GUESS = 0.5
"""The weights of a stem, and of a form in a language that nothing tells; the word as it is written has 1."""
_SINGLE = frozenset("cr")
"""Letters that are names of things on their own, and so are parts that count."""

Piece = tuple[str, str]
"""A piece of a text, and its kind: a word (`a`), a run of Han and kana, of clusters, of Hangul, or a symbol."""


def _pieces(text: str) -> tuple[str, list[Piece]]:
    """Return a text as `cased` returns it, without English endings behind apostrophes, and its pieces in order."""
    text = cased(text)
    if "'" in text:
        text = _APOSTROPHE.sub("", text)
    if text.isascii():
        return text, [(each, "a" if each not in "$%&" else SYMBOL) for each in _ASCII.findall(text)]
    classes = classes_of(text)
    return text, [(text[found.start() : found.end()], _kind(classes[found.start()])) for found in _CLASSES.finditer(classes)]


def _kind(first: str) -> str:
    return (
        HAN if first in (KANA, HIRAGANA) else SYMBOL if first in (REGION, "$", "%", "&") else "a" if first in ".#@d" else first
    )


def _parts_of(word: str) -> Iterator[str]:
    """Return the words in a piece: itself as a whole if it has signs in it, and its parts."""
    if word.isalnum():
        yield word
        return
    parts = _PARTS.findall(word)
    if any(each in "+#.@&,:" for each in word):
        whole = word.replace("'", "")
        yield whole
        if _THOUSANDS.fullmatch(whole):
            yield whole.replace(",", "")
        elif (version := _VERSION.fullmatch(whole)) is not None:
            yield version[1]
    elif len(parts) > 1 and "'" not in word:
        yield "".join(parts)
    if not (word[0].isdigit() and any(each in ".,:" for each in word)):
        for part in parts:
            if len(part) > 1 or (len(parts) > 1 and part in _SINGLE and "'" not in word):
                yield part


def _ngrams(units: list[str] | str, sizes: Iterable[int]) -> Iterator[str]:
    for size in sizes:
        for place in range(len(units) - size + 1):
            yield "".join(units[place : place + size])


def _long_numbers(text: str) -> list[str]:
    """Return the digits of each long number that is written in groups, as in telephone numbers, and of a part between spaces."""
    found = []
    for match in _LONG_NUMBER.finditer(text):
        whole = match[0]
        for number in dict.fromkeys((whole, *whole.split())):
            digits = "".join(each for each in number if each.isdigit())
            if _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS:
                found.append(digits)
    return found


def _ends_of(digits: str) -> list[str]:
    return [digits[-length:] for length in range(_FEWEST_DIGITS, min(len(digits), _NATIONAL + 1))]


def terms_of(text: str) -> list[str]:
    """Return the terms of a text: its words folded and stemmed, n-grams of scripts without spaces, and symbols."""
    text, pieces = _pieces(text)
    words = [each for piece, kind in pieces if kind == "a" for each in ((piece,) if piece.isalnum() else _parts_of(piece))]
    languages = languages_of(words, text) or hinted_languages(text)
    terms: list[str] = []
    if len(words) > _MAX_STEMMED:
        stemmed = set(islice(dict.fromkeys(words), _MAX_STEMMED // len(languages)))
        for word in words:
            terms += forms_of(word, languages) if word in stemmed else (folded(word[:LONGEST]),)
    else:
        for word in words:
            terms += forms_of(word, languages)
    for piece, kind in pieces:
        if kind != "a":
            terms += _indexed(piece, kind)
    known = set(words)
    for digits in _long_numbers(text):
        terms += [each for each in (digits, *_ends_of(digits)) if each not in known]
    return terms if len(text) < MAX_BYTES // 4 else _capped(terms)


def stems_of(text: str) -> list[str]:
    """Return one term for each telling word of a text, in order: its stem in the first language of the text."""
    text, pieces = _pieces(text)
    words = [each for piece, kind in pieces if kind == "a" for each in _parts_of(piece)]
    languages = languages_of(words, text)[:1] or ("english",)
    telling = [forms_of(word, languages)[-1] for word in words if not is_stop_word(word, languages)]
    return telling + [each for piece, kind in pieces if kind != "a" for each in _searched(piece, kind)]


def _indexed(piece: str, kind: str) -> Iterator[str]:
    if kind == HAN:
        yield from _ngrams(piece, (1, 2))
    elif kind == HANGUL:
        yield from forms_of(piece, ())
        if 2 < len(piece) <= LONGEST:  # noqa: PLR2004 - a shorter one is its only bigram
            yield from _ngrams(piece, (2,))
    elif kind == CLUSTER:
        units = _SYLLABLES.findall(piece)
        yield from _ngrams(units, (1, 2, 3))
    else:
        yield folded(piece)


def _capped(terms: list[str]) -> list[str]:
    """Return the terms up to the maximum of bytes of different ones."""
    seen: set[str] = set()
    left = MAX_BYTES
    for place, term in enumerate(terms):
        if term not in seen:
            seen.add(term)
            left -= len(term.encode()) + 4
            if left < 0:
                return terms[:place]
    return terms


def question_of(question: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words of a question to search for, each once and capped in number, and its languages in Latin letters.

    Function words are left out unless there are no others. Of more than `MAX_WORDS` words the longest stay, in order: a longer
    word is usually rarer. Empty if the question contains no word.
    """
    question, pieces = _pieces(question)
    all_words = [each for piece, kind in pieces if kind == "a" for each in _parts_of(piece)]
    languages = languages_of(all_words, question)
    stops = languages or ("english",)
    words: list[str] = []
    rest: list[str] = []
    grams: list[str] = []
    for piece, kind in pieces:
        if kind == "a":
            for each in _parts_of(piece):
                (rest if is_stop_word(each, stops) else words).append(each[:LONGEST])
        elif kind == HANGUL:
            (rest if is_stop_word(piece, ()) else words).append(piece[:LONGEST])
        elif kind == SYMBOL:
            words.append(folded(piece))
        else:
            grams += _searched(piece, kind)
    words += [digits for digits in _long_numbers(question) if digits not in words]
    # Two forms of one word are one word.
    telling = {forms_of(word, languages or stops)[-1]: word for word in reversed(words or rest if not grams else words)}
    chosen = list(reversed(telling.values()))
    if len(chosen) > MAX_WORDS:
        longest = sorted(chosen, key=len, reverse=True)[:MAX_WORDS]
        chosen = [word for word in chosen if word in longest]
    return (*chosen, *list(dict.fromkeys(grams))[:_MAX_PIECES]), languages


def _searched(piece: str, kind: str) -> list[str]:
    """Return the n-grams of a run to search for: the longest that are indexed."""
    if kind == CLUSTER:
        units = _SYLLABLES.findall(piece)
        return list(_ngrams(units, (min(3, len(units)),)))
    if len(piece) == 1 or kind == SYMBOL:
        return [piece]
    found = list(_ngrams(piece, (2,)))
    # Two hiragana are endings and particles.
    return [each for each in found if set(classes_of(each)) != {HIRAGANA}] or found


def weighted_forms(word: str, languages: tuple[str, ...]) -> dict[str, float]:
    """Return the terms that match a word of a question, each with the weight of a match.

    The word as it is written counts most, and a guess by half.
    """
    kinds = set(classes_of(word))
    if kinds <= {HAN, KANA, HIRAGANA}:
        # A verb and its ending, which inflects.
        return {word: 1.0, word[0]: _GUESS} if classes_of(word) == HAN + HIRAGANA else {word: 1.0}
    if kinds <= {HANGUL}:
        forms = dict.fromkeys(forms_of(word, ()), 1.0)
        bare = min(forms, key=len)
        if len(bare) > 2:  # noqa: PLR2004 - as in `_indexed`
            forms.update((each, _GUESS) for each in _ngrams(bare, (2,)) if each not in forms)
        return forms
    if word.isdigit() and len(word) <= _MOST_DIGITS:
        return {word: 1.0, **dict.fromkeys(_ends_of(word), _GUESS)}
    likely = forms_of(word, languages or ("english",))
    found = {each: 1.0 if each == likely[0] else _STEM for each in likely}
    if not languages:
        found.update((each, _GUESS) for each in forms_of(word, ()) if each not in found)
    return found
