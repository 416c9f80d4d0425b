"""Read and check persona files: a size limit, every key kept, errors with the place inside the file."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.errors import InvalidPersona
from coterie.errors.personas import PersonaTooLarge

_log = logging.getLogger(__name__)

MAX_BYTES = 5_000_000
"""The default limit of a file, in bytes: two hundred times the largest known one."""
_MAX_DEPTH = 100
_MAX_NAMED = 5
"""Keys that a warning names at most; a malicious file may have thousands."""
_MAX_SHOWN = 60
"""Characters of a value that errors show."""
_NUMBER = int | float


def read(path: Path, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object of a file. Raises `InvalidPersona`, and `PersonaTooLarge` without reading more than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise PersonaTooLarge(path, max(path.stat().st_size, len(data)), max_bytes)
    except OSError as error:
        raise InvalidPersona(path, "", f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, InvalidPersona):
            raise
        raise InvalidPersona(path, "", f"it cannot be read: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidPersona(path, f"byte {error.start}", "it is not UTF-8; save it as UTF-8") from error
    return parse(text, path)


def parse(text: str, path: Path | str) -> dict[str, Any]:
    """Return the object of a JSON text. Raises `InvalidPersona` with the place of the error."""
    if not isinstance(text, str):
        raise InvalidPersona(path, "", f"it is {type_name(text)}, and not text; read a file with load(path)")
    if not text.strip():
        raise InvalidPersona(path, "", "it is empty; a persona is a JSON object")
    twice: Counter[str] = Counter()

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            twice.update(name for name, count in Counter(name for name, _ in items).items() if count > 1)
        return found

    try:
        document = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InvalidPersona(path, f"line {error.lineno}, column {error.colno}", f"it is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidPersona(path, "", "it is nested too deeply to be a persona") from error
    except ValueError as error:
        digits = sys.get_int_max_str_digits()
        raise InvalidPersona(path, "", f"a number in it has more than {digits} digits, which no reader takes") from error
    if not isinstance(document, dict):
        raise InvalidPersona(path, "", f"it holds {type_name(document)}; a persona is an object with the key 'persona'")
    check_plain(document, path)
    if twice:
        # The last one counts, as for other readers of this format, but the author should know.
        names = ", ".join(repr(name)[:_MAX_SHOWN] for name in sorted(twice)[:_MAX_NAMED])
        more = f" and {len(twice) - _MAX_NAMED} others" if len(twice) > _MAX_NAMED else ""
        _log.warning("%s: the key %s%s is there twice in one object; the last one counts", path, names, more)
    return document


def check_plain(value: Any, path: Path | str, where: str = "", depth: int = 0) -> None:
    """Check that JSON can hold a value. Raises `InvalidPersona` with the place of the wrong part."""
    if depth > _MAX_DEPTH:
        raise InvalidPersona(path, where[:200], f"it is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise InvalidPersona(path, where, f"the key {key!r} is {type_name(key)}, and keys are text")
            check_plain(each, path, inside(where, key), depth + 1)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            check_plain(each, path, f"{where}[{index}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidPersona(path, where, f"{value} is not a number that JSON can hold")
    elif not (value is None or isinstance(value, str | bool | _NUMBER)):
        raise InvalidPersona(path, where, f"{type_name(value)} is not plain data")


def inside(where: str, key: str) -> str:
    """Return the place of a key inside an object: ``persona.age``, or in brackets unless the key is a word."""
    step = key if re.fullmatch(r"\w+", key) else json.dumps(key)
    if step is not key:
        return f"{where}[{step}]"
    return f"{where}.{key}" if where else key


def shorten(value: Any) -> str:
    """Return a value as errors show it, shortened to a line."""
    try:
        text = repr(value)
    except ValueError:
        # A number with too many digits for Python to print.
        return type_name(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def type_name(value: Any) -> str:
    """Return the JSON type of a value, as errors name it."""
    if value is None:
        return "null"
    for kind, name in (
        (bool, "true or false"),
        (str, "text"),
        (dict, "an object"),
        (list | tuple, "a list"),
        (_NUMBER, "a number"),
    ):
        if isinstance(value, kind):
            return name
    return f"a {type(value).__qualname__}"


PERSONA = "TinyPerson"
FRAGMENT = "Fragment"
_WRAPPERS = ("persona", "_configuration")
"""The key of the persona in a file; the second is that of early files."""

_TEXTS = ("gender", "nationality", "residence", "country_of_residence", "education", "style", "health", "occupation")
"""Text, or an object or a list for more details."""
_LISTS = ("long_term_goals", "skills", "beliefs", "relationships", "other_facts")
_OBJECTS = ("personality", "preferences", "behaviors")
_MAX_AGE = 1_000
"""The maximum age, in years; a greater one is an error."""


def key_of(document: Mapping[str, Any]) -> str:
    """Return the key of the persona in a document; an empty text if the document is the persona itself."""
    return next((key for key in _WRAPPERS if key in document), "")


def check(document: Mapping[str, Any], path: Path | str, *, fragment: bool) -> None:
    """Check that a document describes a persona, or a part of one. Raises `InvalidPersona`."""
    if not isinstance(document, dict):
        raise InvalidPersona(path, "", f"it is {type_name(document)}; a persona is an object with the key 'persona'")
    kind = document.get("type")
    if kind is not None and kind not in (PERSONA, FRAGMENT):
        raise InvalidPersona(path, "type", f"{shorten(kind)} is not possible; it is {PERSONA!r} or {FRAGMENT!r}")
    if kind == FRAGMENT and not fragment:
        raise InvalidPersona(path, "type", "it is a fragment, not a persona: load a persona and merge the fragment")
    key = key_of(document)
    if not key and "name" not in document:
        raise InvalidPersona(path, "persona", "missing; a persona's file is {'type': ..., 'persona': {...}}")
    persona = document[key] if key else document
    if not isinstance(persona, dict):
        raise InvalidPersona(path, key, f"{type_name(persona)} is not possible; it is an object")
    _check_fields(persona, path, f"{key}." if key else "", fragment=fragment)


def _check_fields(persona: Mapping[str, Any], path: Path | str, prefix: str, *, fragment: bool) -> None:
    name = persona.get("name")
    if not (fragment and name is None) and not (isinstance(name, str) and name.strip()):
        problem = "missing; a persona has a name" if "name" not in persona else f"{shorten(name)} is not a name; a name is text"
        raise InvalidPersona(path, f"{prefix}name", problem)
    if (reason := _age_problem(persona.get("age"))) is not None:
        raise InvalidPersona(path, f"{prefix}age", reason)
    for field in (*_TEXTS, *_LISTS, *_OBJECTS):
        value = persona.get(field)
        if isinstance(value, bool | int | float):
            usual = "text" if field in _TEXTS else "a list" if field in _LISTS else "an object"
            raise InvalidPersona(path, f"{prefix}{field}", f"{shorten(value)} is not possible; it is {usual}")
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
        return f"{type_name(age)} is not possible; it is a number of years, or text"
    if not 0 <= age <= _MAX_AGE:
        return f"{shorten(age)} is not possible; it is a number of years from 0 to {_MAX_AGE}"
    return None
