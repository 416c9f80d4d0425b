"""Validation of a persona by an interview: does it answer as its own file says?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from coterie.models import Model
from coterie.personas.profile.persona import Persona, as_text
from coterie.personas.reference import PersonaRef
from coterie.personas.studies.proposition import Proposition

_ENOUGH = 0.34
"""The part of the telling words of a fact that an answer needs, for a rule to see that it agrees."""
_TELLING = 4
"""The least number of letters of a telling word."""
_FACTS: Mapping[str, str] = {
    "name": "What is your name?",
    "age": "How old are you?",
    "gender": "What is your gender?",
    "nationality": "What is your nationality?",
    "residence": "Where do you live?",
    "occupation": "What do you do for a living?",
    "education": "What is your education?",
}
"""Fields of one fact each, with the question about it."""
_LISTS: Mapping[str, str] = {
    "beliefs": "What do you believe about {topic}?",
    "likes": "What do you like about {topic}?",
    "dislikes": "What do you dislike about {topic}?",
    "interests": "What interests you about {topic}?",
    "skills": "What can you do about {topic}?",
    "goals": "What do you want to achieve about {topic}?",
    "traits": "How are you when it comes to {topic}?",
}
"""Fields of several facts, with the question about each."""


class CheckedAnswer(msgspec.Struct, frozen=True):
    """The answer of a persona to a question about its own file."""

    fact: str
    """The fact, with its place in the file."""
    question: str
    answer: str
    score: float
    """From 0, the answer contradicts the fact or does not tell it, to 1."""
    reasons: str
    by: str
    """``rule`` or ``model``."""


class PersonaValidation(msgspec.Struct, frozen=True):
    """The result of a validation."""

    persona: str
    score: float
    """The mean of the scores; 0 if the file has nothing to ask about."""
    answers: tuple[CheckedAnswer, ...]

    def below(self, score: float = 0.5) -> tuple[CheckedAnswer, ...]:
        """Return the answers whose score is lower."""
        return tuple(each for each in self.answers if each.score < score)


def questions_about(persona: Persona, most: int = 12) -> list[tuple[str, str]]:
    """Return at most `most` facts of a persona's file, each with a question about it; single facts first."""
    facts = [
        (f"{field}: {_main(persona.fields[field])}", asked) for field, asked in _FACTS.items() if persona.fields.get(field)
    ]
    for place, value in _entries(persona.fields, ""):
        field = place.rsplit(".", 1)[-1]
        asked = _LISTS.get(field) or _LISTS.get(f"{field}s")
        topic = _topic(value)
        if asked and topic:
            facts.append((f"{place}: {value}", asked.format(topic=topic)))
    return facts[:most]


async def validate_persona(ref: PersonaRef, *, model: Model | None = None, most: int = 12) -> PersonaValidation:
    """Interview a persona about its own file, and return how its answers agree with it.

    A rule compares words: an answer agrees if it has the value of a fact, or enough of its telling words. A `model` judges by
    meaning instead. The persona remembers the interview as any conversation. Raises the errors of asking, and `ModelError`.
    """
    answers = []
    for number, (fact, question) in enumerate(questions_about(ref.persona, most), 1):
        episode = await ref.ask(question, "Interviewer", label=f"validation/{number}")
        if model is None:
            score, reasons, by = (*_agrees(fact, episode.text), "rule")
        else:
            claim = f"The answer agrees with this fact about the person: {fact}"
            record = f"Question: {question}\nAnswer: {episode.text or '(nothing)'}"
            judged = await Proposition(claim, model=model).judge(record, label=f"validation of {ref.name}")
            score, reasons, by = judged.score, judged.reasons, judged.by
        answers.append(CheckedAnswer(fact, question, episode.text, score, reasons, by))
    mean = sum(each.score for each in answers) / len(answers) if answers else 0.0
    return PersonaValidation(ref.name, mean, tuple(answers))


def _agrees(fact: str, answer: str) -> tuple[float, str]:
    place, _, value = fact.partition(": ")
    if not answer.strip():
        return 0.0, "there is no answer"
    if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", answer, re.IGNORECASE):
        return 1.0, f"it says {value!r}"
    wanted, said = _words(value), _words(answer)
    common = wanted & said
    part = len(common) / len(wanted) if wanted else 0.0
    if part >= _ENOUGH and place not in ("age", "name"):
        return min(1.0, 0.5 + part / 2), f"it has {', '.join(sorted(common))}"
    return 0.0, f"it does not say {value!r:.80}"


def _main(value: Any) -> str:
    """Return the main text of a field: the title of an occupation, the first of several values."""
    if isinstance(value, Mapping):
        return next((as_text(value[key]) for key in ("title", "name", "city", "degree") if value.get(key)), as_text(value))
    if isinstance(value, list | tuple):
        return _main(value[0]) if value else ""
    return as_text(value)


def _entries(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _entries(each, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for each in value:
            text = as_text(each)
            if text:
                yield place, text


def _topic(text: str) -> str:
    """Return the longest telling words of a fact, in their order: what a question about it names."""
    words = re.findall(r"\w+", text)
    telling = sorted({word for word in words if len(word) >= _TELLING}, key=lambda word: (-len(word), word))[:2]
    return " and ".join(word for word in dict.fromkeys(words) if word in telling)


def _words(text: str) -> set[str]:
    words = (word for word in re.findall(r"\w+", text.casefold()) if len(word) >= _TELLING)
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) for word in words}
