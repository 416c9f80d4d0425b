"""A persona as text for a prompt: every key, in its order, as an indented list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MARK = " [...]"


def describe(persona: Mapping[str, Any], most: int | None = None) -> str:
    """Return a persona as text; longer than `most` characters it is cut at the end of a line, and says so."""
    text = "\n".join(_lines(persona, ""))
    if most is None or len(text) <= most:
        return text
    kept = text[: max(0, most - len(_MARK))]
    return kept[: kept.rfind("\n")] + _MARK if "\n" in kept else kept + _MARK


def as_text(value: Any) -> str:
    """Return a value as one line of text."""
    if isinstance(value, Mapping):
        return "; ".join(f"{_title(key)}: {as_text(each)}" for key, each in value.items() if each not in (None, "", [], {}))
    if isinstance(value, list | tuple):
        return "; ".join(as_text(each) for each in value)
    return "" if value is None else str(value)


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, each in value.items():
        if each in (None, "", [], {}):
            continue
        if isinstance(each, Mapping):
            yield f"{indent}{_title(key)}:"
            yield from _lines(each, f"{indent}  ")
        elif isinstance(each, list | tuple):
            yield f"{indent}{_title(key)}:"
            yield from (f"{indent}  - {as_text(entry)}" for entry in each)
        else:
            yield f"{indent}{_title(key)}: {each}"


def _title(key: str) -> str:
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
