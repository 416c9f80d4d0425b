"""Answers from a persona file, without a model: a rule, and the parsing of options and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from coterie.personas.mind.mind import Situation
from coterie.personas.mind.state import PersonaAction, talk
from coterie.personas.profile.persona import as_text

_NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)?(?![\w]|[.,]\d)")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORD_NUMBER = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)


def first_number(text: str, fits: Callable[[float], bool]) -> float | None:
    """Return the first fitting number of a text, in digits or, up to ten, in words; otherwise None."""
    found = [(match.start(), float(match[0].replace(",", "."))) for match in _NUMBER.finditer(text)]
    found += [(match.start(), float(_WORDS.index(match[0].lower()))) for match in _WORD_NUMBER.finditer(text)]
    return next((value for _, value in sorted(found) if fits(value)), None)


def first_named(text: str, options: Sequence[str]) -> str | None:
    """Return the option that a text names first, as whole words, in any case; of several at one place the longest."""
    places = []
    for option in options:
        match = re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)
        if match is not None:
            places.append((match.start(), -len(option), option))
    return min(places)[2] if places else None


_OPTIONS = re.compile(r"one of: ([^.)]+)", re.IGNORECASE)
_RANGE = re.compile(r"number from (-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)", re.IGNORECASE)
_YES_OR_NO = re.compile(r"answer yes or no", re.IGNORECASE)
_HINT = re.compile(r"\s*\([^()]*\)\s*$")
_ASKS = re.compile(r"\?")
_LONG = 4
"""The minimum number of letters of a word that counts."""
_COMMON = frozenset(
    [
        "what",
        "when",
        "where",
        "which",
        "with",
        "would",
        "your",
        "about",
        "this",
        "that",
        "than",
        "from",
        "have",
        "does",
        "good",
        "like",
        "more",
        "most",
        "much",
        "very",
        "well",
        "them",
        "they",
        "into",
        "than",
        "some",
        "small",
        "large",
        "long",
        "make",
        "made",
        "take",
        "thing",
        "things",
        "think",
        "care",
        "dislike",
        "often",
        "only",
        "over",
        "just",
        "also",
        "been",
        "being",
    ]
)
_LEFT_OUT = ("name", "age", "gender", "nationality", "residence", "occupation", "relationships")
_AGAINST = re.compile(r"\b(?:not?|never|dislikes?|hates?|can't|cannot|avoids?)\b", re.IGNORECASE)


def answer_from_profile(situation: Situation) -> PersonaAction | None:
    """Answer the latest question from the persona file; return None without a question.

    The answer is the statement of the file with the most words in common with the question, after the option, the number, or
    the yes or no that the question asks for. Without a statement, these are drawn from the situation's random stream.
    """
    asked = [each for each in situation.heard() if _ASKS.search(each.content)]
    if not asked:
        return None
    question = asked[-1].content
    statements = list(_statements(situation.persona.fields, ""))
    scored = [(len(_words(_HINT.sub("", question)) & _words(text)), -place, text) for place, text in enumerate(statements)]
    best = max(scored, default=(0, 0, ""))
    about = best[2] if best[0] else ""
    return talk(
        " ".join(part for part in (_head(question, about, statements, situation), _own(about)) if part) or "I could not say."
    )


def _head(question: str, about: str, statements: list[str], situation: Situation) -> str:
    if found := _OPTIONS.search(question):
        options = [each.strip() for each in found[1].split(",") if each.strip()]
        named = [first_named(text, options) for text in (about, *statements)]
        return f"{next((each for each in named if each), None) or situation.random.choice(options)}."
    if found := _RANGE.search(question):
        low, high = float(found[1]), float(found[2])
        said = first_number(about, lambda value: value == int(value) and low <= value <= high)
        if said is not None:
            return f"{said:g}."
        part = 0.5 if not about else 0.2 if _AGAINST.search(about) else 0.8
        wobble = situation.random.uniform(-0.2, 0.2)
        return f"{round(low + (high - low) * min(1.0, max(0.0, part + wobble)))}."
    if _YES_OR_NO.search(question):
        yes = not _AGAINST.search(about) if about else situation.random.random() < 0.5  # noqa: PLR2004 - either is as likely
        return "Yes." if yes else "No."
    return ""


def _statements(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _LEFT_OUT:
                yield from _statements(each, str(name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _statements(each, key)
    elif isinstance(value, str) and value:
        yield {
            "likes": f"I like this: {value}",
            "dislikes": f"I dislike this: {value}",
            "interests": f"I care about {value}",
        }.get(key, value)


def _words(text: str) -> set[str]:
    """Return the longer words of a text, without grammatical endings."""
    words = (word for word in re.findall(r"\w+", text.casefold()) if len(word) >= _LONG and word not in _COMMON)
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) for word in words}


def _own(statement: str) -> str:
    """Return a statement about the persona in the first person, as far as simple rules can."""
    text = as_text(statement)
    for theirs, ours in ((r"\bYou are\b", "I am"), (r"\byou are\b", "I am"), (r"\b[Yy]ou\b", "I"), (r"\b[Yy]our\b", "my")):
        text = re.sub(theirs, ours, text)
    return text
