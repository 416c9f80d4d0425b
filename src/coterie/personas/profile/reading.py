"""A persona's file as plain data: its size limited, every key kept, and nonsense refused with its place."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

from coterie.errors import InvalidPersona, PersonaTooLarge

_log = logging.getLogger(__name__)

MOST_BYTES = 5_000_000
"""Bytes that a file has at most, unless it is said otherwise: two hundred times what the largest known ones have."""
_DEEPEST = 100
_NUMBER = int | float


def read(path: Path, max_bytes: int) -> dict[str, Any]:
    """Return what the file says. Raises `InvalidPersona`, and `PersonaTooLarge` before more than that is in memory."""
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
    """Return what a text in JSON says. Raises `InvalidPersona`, which says where."""
    if not text.strip():
        raise InvalidPersona(path, "", "it is empty; a persona is a JSON object")
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [name for name, _ in items]
            twice.extend(sorted({name for name in names if names.count(name) > 1}))
        return found

    try:
        document = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InvalidPersona(path, f"line {error.lineno}, column {error.colno}", f"it is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidPersona(path, "", "it is nested too deeply to be a persona") from error
    except ValueError as error:
        raise InvalidPersona(path, "", f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidPersona(path, "", f"it holds {called(document)}; a persona is an object with the key 'persona'")
    check_plain(document, path)
    for name in twice:
        # Whoever reads this format keeps the last one, and so do we; but somebody should know.
        _log.warning("%s: the key %r is there twice in one object; the last one counts", path, name)
    return document


def check_plain(value: Any, path: Path | str, where: str = "", depth: int = 0) -> None:
    """See that a value is plain data that JSON can hold. Raises `InvalidPersona` with the place of what is not."""
    if depth > _DEEPEST:
        raise InvalidPersona(path, where[:200], f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise InvalidPersona(path, where, f"the key {key!r} is {called(key)}, and keys are text")
            check_plain(each, path, inside(where, key), depth + 1)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            check_plain(each, path, f"{where}[{index}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidPersona(path, where, f"{value} is no number that a file can hold")
    elif not (value is None or isinstance(value, str | bool | _NUMBER)):
        raise InvalidPersona(path, where, f"{called(value)} is no plain data")


def inside(where: str, key: str) -> str:
    """Return the place of a key inside an object: ``persona.age``, or in brackets where the key is no word."""
    step = key if re.fullmatch(r"\w+", key) else json.dumps(key)
    if step is not key:
        return f"{where}[{step}]"
    return f"{where}.{key}" if where else key


def called(value: Any) -> str:
    """Return what kind of thing a value is, as JSON calls it."""
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
