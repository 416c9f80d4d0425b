"""Facts: statements of subject, relation and object that can be compared, and so replaced when they change.

Rules find the facts in structured values; an extractor finds those in texts. Two facts of one subject and relation with different
objects contradict each other, unless the relation has many objects (likes, knows). The later one ends the validity of the earlier
one, which stays stored, and cites it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from coterie.errors import InvalidMemory
from coterie.memory.mind.items import Memory
from coterie.memory.record import Fact
from coterie.memory.text.folding import cased, folded
from coterie.memory.text.languages import stem_of

Extractor: TypeAlias = Callable[[Memory], Sequence[Fact]]
"""A function that finds the facts in a memory. It may be slow, and may call a language model. Each fact cites the words that say it
in `quotes`: ``((memory.id, "I moved to Rome"),)``."""

_SUBJECTS = ("subject", "source", "entity", "name", "person")
_RELATIONS = ("relation", "predicate", "relationship", "property", "attribute")
_OBJECTS = ("object", "value", "target", "destination")
_TEXTS = frozenset(("content", "text", "summary", "message"))
"""Fields whose presence says that a dictionary is a text with its circumstances, not the properties of a thing."""
_NO_PROPERTIES = frozenset((*_SUBJECTS, "type", "id", "quote", "many", "negated"))
_WORDS = re.compile(r"[^\W_]+[+#]*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_EMPTY = frozenset(
    ["is", "are", "was", "were", "be", "been", "being", "am", "a", "an", "the", "has", "have", "had", "does", "do", "did"]
)
_MANY = frozenset(
    word
    for each in [
        "like",
        "love",
        "enjoy",
        "adore",
        "hate",
        "dislike",
        "fear",
        "know",
        "speak",
        "own",
        "use",
        "visit",
        "play",
        "read",
        "watch",
        "eat",
        "drink",
        "want",
        "meet",
        "buy",
        "say",
        "tell",
        "see",
        "friend",
        "sibling",
        "brother",
        "sister",
        "child",
        "parent",
        "son",
        "daughter",
        "colleague",
        "neighbour",
        "neighbor",
        "pet",
        "hobby",
        "interest",
        "allergy",
        "allergic",
        "member",
        "skill",
        "language",
        "tag",
        "cite",
        "mention",
        "contain",
        "include",
        "teach",
        "learn",
        "attend",
        "support",
        "help",
        "plan",
        "mag",
        "liebt",
        "hasst",
        "kennt",
        "spricht",
        "besitzt",
        "isst",
        "trinkt",
        "freund",
        "hobby",
        "aime",
        "connait",
        "parle",
        "possede",
        "gusta",
        "conoce",
        "habla",
        "tiene",
    ]
    for word in (each, stem_of(each, "english"))
)
"""Words of relations that have many objects at once."""
_NOT_MANY = frozenset(
    ("favorite", "favourite", "favorit", "favourit", "best", "most", "first", "last", "native", "current", "nativ")
)


def name_key(name: str) -> str:
    """Return a name as it is compared: without differences of case, accents, spaces and punctuation."""
    return " ".join(folded(word) for word in _WORDS.findall(cased(name))) or cased(name).strip()


def relation_key(relation: str) -> str:
    """Return a relation as it is compared: the stems of its words, without auxiliary verbs. ``lives_in`` is ``Lived in``."""
    words = [folded(word) for word in _WORDS.findall(cased(_CAMEL.sub(" ", relation)))]
    telling = [word for word in words if word not in _EMPTY] or words
    return " ".join(stem_of(word, "english") for word in telling) or cased(relation).strip()


def has_many(relation: str) -> bool:
    """Return whether a subject usually has many objects of a relation at once, as with likes and knows."""
    words = relation_key(relation).split()
    if words and all(word in _EMPTY for word in cased(relation).split()):
        # Only an auxiliary verb: "is" and "has" say nothing about how many.
        return True
    return any(word in _MANY for word in words) and not any(word in _NOT_MANY for word in words)


def facts_in(value: Any) -> list[Fact]:
    """Return the facts in a structured value: a `Fact`, a tuple of three texts, or a dictionary.

    A dictionary has a subject, a relation and an object, or is a thing with a name and properties: ``{"name": "Bob", "city": "Rome"}``.
    Empty for any other value. Raises `InvalidMemory` for an invalid fact.
    """
    if isinstance(value, Fact):
        return [check_fact(value)]
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(each, str) for each in value):  # noqa: PLR2004
        return [check_fact(Fact(*value))]
    return _facts_in_fields(value) if isinstance(value, Mapping) else []


def _facts_in_fields(value: Mapping[Any, Any]) -> list[Fact]:
    subject = _first(value, _SUBJECTS)
    if not isinstance(subject, str) or not subject.strip():
        return []
    relation = _first(value, _RELATIONS)
    found = _first(value, _OBJECTS)
    if isinstance(relation, str) and relation.strip() and found is not None:
        many, negated = value.get("many"), value.get("negated", False)
        return list(_facts(subject, relation, found, many=many if isinstance(many, bool) else None, negated=negated is True))
    if relation is not None or _TEXTS & value.keys():
        return []
    return [
        fact
        for name, each in value.items()
        if isinstance(name, str) and name.strip() and name not in _NO_PROPERTIES
        for fact in _facts(subject, name, each, many=None)
    ]


def check_fact(fact: Any) -> Fact:
    """Return a fact; raise `InvalidMemory` unless its subject, relation and object are texts that are not empty."""
    if not isinstance(fact, Fact):
        raise InvalidMemory("fact", fact, "give a Fact")
    parts: tuple[Any, ...] = (fact.subject, fact.relation, fact.object)
    for part in parts:
        if not isinstance(part, str) or not part.strip():
            raise InvalidMemory("fact", part, "the subject, the relation and the object of a fact are texts, and not empty")
        try:
            part.encode()
        except UnicodeEncodeError:
            raise InvalidMemory("fact", part, "give text that can be written as UTF-8") from None
    return fact


def _facts(subject: str, relation: str, found: Any, *, many: bool | None, negated: bool = False) -> Iterator[Fact]:
    if isinstance(found, bool):
        yield check_fact(Fact(subject, relation, "yes" if found else "no", many=many, negated=negated))
    elif isinstance(found, str | int | float):
        if str(found).strip():
            yield check_fact(Fact(subject, relation, str(found), many=many, negated=negated))
    elif isinstance(found, list | tuple | set | frozenset):
        for each in found:
            yield from _facts(subject, relation, each, many=True, negated=negated)


def _first(value: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)
