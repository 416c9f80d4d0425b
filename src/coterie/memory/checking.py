"""Validation of the arguments that make a memory: keys, importances, texts, times.

Validate before a memory is accepted: a value that a tier cannot write later would be lost after it was acknowledged, and one
unreadable record would make its whole list unreadable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from coterie.errors import InvalidMemory
from coterie.memory.record import MemoryKind

_KINDS = tuple(str(kind) for kind in MemoryKind if kind is not MemoryKind.INTERNAL)


def check_key(key: Any, max_bytes: int) -> str:
    """Return `key` if it can be the key of a memory; raise `InvalidMemory` if not."""
    if not isinstance(key, str):
        raise InvalidMemory("key", key, "a key is text")
    if key.isascii() and key.isprintable() and len(key) <= max_bytes and not key.isspace() and key:
        # The common case.
        return key
    if not key or key.isspace():
        raise InvalidMemory("key", key, "a key is not empty")
    if any(ord(character) < 32 for character in key):  # noqa: PLR2004 - where the control characters end
        raise InvalidMemory("key", key, "a key has no control characters")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidMemory("key", key, "a key is text that can be written as UTF-8") from None
    if length > max_bytes:
        raise InvalidMemory("key", key, f"it has {length} bytes and may have at most {max_bytes}; put long data into the value")
    return key


def check_agent(agent: Any) -> str:
    """Return `agent` if it can be the name of an agent; raise `InvalidMemory` if not."""
    return check_key(agent, 512)


def check_importance(importance: Any) -> float:
    """Return `importance` as a float; raise `InvalidMemory` unless it is a number from 0 to 1."""
    if importance.__class__ is float and 0.0 <= importance <= 1.0:
        # The common case.
        number: float = importance
        return number
    return check_share("importance", importance)


def check_share(what: str, share: Any) -> float:
    """Return `share` as a float; raise `InvalidMemory` unless it is a number from 0 to 1."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise InvalidMemory(what, share, "give a number from 0 to 1")
    return float(share)


def check_seconds(what: str, seconds: Any) -> float | None:
    """Return `seconds` as a float, or None; raise `InvalidMemory` unless they are more than 0."""
    if seconds is None:
        return None
    number = _finite(seconds)
    if number is None or number <= 0:
        raise InvalidMemory(what, seconds, "give seconds above 0, or None")
    return number


def check_time(what: str, time: Any) -> float | None:
    """Return a time in seconds since 1970 as a float, or None; raise `InvalidMemory` unless it is a finite number."""
    if time is None:
        return None
    number = _finite(time)
    if number is None:
        raise InvalidMemory(what, time, "give seconds since 1970 as a finite number, or None")
    return number


def check_text(what: str, text: Any) -> str:
    """Return `text`; raise `InvalidMemory` unless it is a string that UTF-8 can encode."""
    if not isinstance(text, str):
        raise InvalidMemory(what, text, "give text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidMemory(what, text, "give text that can be written as UTF-8") from None
    return text


def check_question(question: Any) -> str:
    """Return `question`; raise `InvalidMemory` unless it is text. The search ignores characters that belong to no word."""
    if not isinstance(question, str):
        raise InvalidMemory("question", question, "ask in text")
    return question


def check_texts(what: str, texts: Any) -> tuple[str, ...]:
    """Return a sequence of texts, such as source ids, as a tuple; raise `InvalidMemory` for one string or anything else."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise InvalidMemory(what, texts, "give a list of texts")
    return tuple(check_text(what, text) for text in texts)


def check_kind(kind: Any) -> str:
    """Return `kind` as text; raise `InvalidMemory` unless it is a `MemoryKind` other than INTERNAL."""
    if isinstance(kind, str) and kind in _KINDS:
        return str(kind)
    raise InvalidMemory("kind", kind, f"give one of {', '.join(_KINDS)}")


def check_kinds(kinds: Any) -> tuple[str, ...]:
    """Return one kind or several as a tuple; raise `InvalidMemory` for anything else."""
    if isinstance(kinds, str):
        return (check_kind(kinds),)
    if not isinstance(kinds, Sequence):
        raise InvalidMemory("kinds", kinds, f"give a list of {', '.join(_KINDS)}")
    return tuple(check_kind(kind) for kind in kinds)


def check_agents(agents: Any) -> tuple[str, ...]:
    """Return the agents to read from as a tuple: one name, several, or `()` for all. Raise `InvalidMemory` otherwise."""
    if agents is None:
        return ()
    return (check_text("agent", agents),) if isinstance(agents, str) else check_texts("agents", agents)


def check_count(what: str, count: Any, minimum: int = 0) -> int:
    """Return `count`; raise `InvalidMemory` unless it is a whole number from `minimum` to 2**31 - 1."""
    if isinstance(count, bool) or not isinstance(count, int) or not minimum <= count < 1 << 31:
        raise InvalidMemory(what, count, f"give a whole number of {minimum} or more")
    return count


def _finite(value: Any) -> float | None:
    """Return a finite number as a float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
