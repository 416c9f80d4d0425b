"""What a memory may be: keys, importances and times that make sense."""

from __future__ import annotations

import math
from typing import Any

from coterie.errors import InvalidMemory


def check_key(key: Any, most_bytes: int) -> str:
    """Return `key` if it can be the key of a memory; raise `InvalidMemory` if not."""
    if not isinstance(key, str):
        raise InvalidMemory("key", key, "a key is text")
    if key.isascii() and key.isprintable() and len(key) <= most_bytes and not key.isspace() and key:
        # Nearly all of them.
        return key
    if not key or key.isspace():
        raise InvalidMemory("key", key, "a key is not empty")
    if any(ord(character) < 32 for character in key):  # noqa: PLR2004 - where the control characters end
        raise InvalidMemory("key", key, "a key has no control characters")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidMemory("key", key, "a key is text that can be written as UTF-8") from None
    if length > most_bytes:
        raise InvalidMemory("key", key, f"it has {length} bytes, and {most_bytes} is the most; keep what is long in the value")
    return key


def check_agent(agent: Any) -> str:
    """Return `agent` if it can be the name of an agent; raise `InvalidMemory` if not."""
    return check_key(agent, 512)


def check_importance(importance: Any) -> float:
    """Return `importance` as a float; raise `InvalidMemory` unless it is a number from 0 to 1."""
    if isinstance(importance, bool) or not isinstance(importance, int | float) or not 0.0 <= importance <= 1.0:
        raise InvalidMemory("importance", importance, "give a number from 0 to 1")
    return float(importance)


def check_seconds(what: str, seconds: Any) -> float | None:
    """Return `seconds` as a float, or None; raise `InvalidMemory` unless they are more than 0."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0 or math.isinf(seconds):
        raise InvalidMemory(what, seconds, "give seconds above 0, or None")
    return float(seconds)


def check_count(what: str, count: Any, least: int = 0) -> int:
    """Return `count`; raise `InvalidMemory` unless it is a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise InvalidMemory(what, count, f"give a whole number of {least} or more")
    return count
