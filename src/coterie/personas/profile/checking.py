"""What a persona's fields may be: the usual shapes and their variants, and not what makes no sense.

Of some 950 files in the wild, 132 have an object for `style`, 377 for `health`, 10 for `education`, and a few have
entries of other shapes among `skills` and `relationships`. All those pass; a number for a style, or a list for an age,
does not. Fields that are not known here are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.errors import InvalidPersona
from coterie.personas.profile.reading import called

PERSONA = "TinyPerson"
FRAGMENT = "Fragment"
_WRAPPERS = ("persona", "_configuration")
"""Under which key the persona stands; the second is how early files had it."""

_TEXTS = ("gender", "nationality", "residence", "country_of_residence", "education", "style", "health", "occupation")
"""Text, or an object or a list where somebody had more to say."""
_LISTS = ("long_term_goals", "skills", "beliefs", "relationships", "other_facts")
_OBJECTS = ("personality", "preferences", "behaviors")
_OLDEST = 1_000
"""Years: who means more means something else."""


def key_of(document: Mapping[str, Any]) -> str:
    """Return under which key of a document its persona stands; an empty text if the document is the persona itself."""
    return next((key for key in _WRAPPERS if key in document), "")


def check(document: Mapping[str, Any], path: Path | str, *, fragment: bool) -> None:
    """See that a document describes a persona, or a part of one. Raises `InvalidPersona`."""
    kind = document.get("type")
    if kind is not None and kind not in (PERSONA, FRAGMENT):
        raise InvalidPersona(path, "type", f"{kind!r} is not possible; it is {PERSONA!r} or {FRAGMENT!r}")
    if kind == FRAGMENT and not fragment:
        raise InvalidPersona(path, "type", "this is a fragment, no whole persona: load the persona and merge it")
    key = key_of(document)
    if not key and "name" not in document:
        raise InvalidPersona(path, "persona", "missing; a persona's file is {'type': ..., 'persona': {...}}")
    persona = document[key] if key else document
    if not isinstance(persona, dict):
        raise InvalidPersona(path, key, f"{called(persona)} is not possible; it is an object")
    _check_fields(persona, path, f"{key}." if key else "", fragment=fragment)


def _check_fields(persona: Mapping[str, Any], path: Path | str, prefix: str, *, fragment: bool) -> None:
    name = persona.get("name")
    if not (fragment and name is None) and not (isinstance(name, str) and name.strip()):
        problem = "missing; a persona has a name" if "name" not in persona else f"{name!r} is no name; it is text"
        raise InvalidPersona(path, f"{prefix}name", problem)
    if (reason := _age_problem(persona.get("age"))) is not None:
        raise InvalidPersona(path, f"{prefix}age", reason)
    for field in (*_TEXTS, *_LISTS, *_OBJECTS):
        value = persona.get(field)
        if isinstance(value, bool | int | float):
            usual = "text" if field in _TEXTS else "a list" if field in _LISTS else "an object"
            raise InvalidPersona(path, f"{prefix}{field}", f"{value!r} is not possible; it is {usual}")
        if field in _LISTS and isinstance(value, list):
            _check_entries(value, path, f"{prefix}{field}")


def _check_entries(entries: list[Any], path: Path | str, where: str) -> None:
    for index, entry in enumerate(entries):
        if isinstance(entry, bool):
            raise InvalidPersona(path, f"{where}[{index}]", f"{entry!r} is not possible; it is text, or an object")


def _age_problem(age: Any) -> str | None:
    if age is None or (isinstance(age, str) and age.strip()):
        return None
    if isinstance(age, bool) or not isinstance(age, int | float):
        return f"{called(age)} is not possible; it is a number of years, or text"
    if not 0 <= age <= _OLDEST:
        return f"{age} is not possible; it is a number of years from 0 to {_OLDEST}"
    return None
