"""The text in a value."""

from __future__ import annotations

from typing import Any


def text_of(value: Any) -> str:
    """Return all text in a plain value in order, without the keys of dictionaries."""
    if isinstance(value, str):
        return value
    found: list[str] = []
    _gather(value, found)
    return " ".join(found)


def _gather(value: Any, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
        return
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for each in value:
        if isinstance(each, str):
            found.append(each)
        else:
            _gather(each, found)
