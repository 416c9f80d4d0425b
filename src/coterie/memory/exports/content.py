"""The content of an export of another system, and what the readers of all formats share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple


class ExportedText(NamedTuple):
    """A memory or a message of an export."""

    id: str
    text: str
    value: dict[str, Any]
    time: float | None
    until: float | None = None
    """The end of its validity."""


class ExportedBlock(NamedTuple):
    """A memory block of an export."""

    name: str
    text: str
    limit: int
    description: str


@dataclass(slots=True)
class ExportContent:
    """The content of a file."""

    learnt: list[ExportedText] = field(default_factory=list)
    """Memories."""
    heard: list[ExportedText] = field(default_factory=list)
    """Messages."""
    blocks: list[ExportedBlock] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count what is not imported."""
        if count:
            self.left_out[what] = self.left_out.get(what, 0) + count


def mappings(rows: Any) -> list[Mapping[str, Any]]:
    """Return a list of objects. Raises `TypeError`, which names the first entry that is none."""
    if not isinstance(rows, list):
        raise TypeError("a list is expected where the memories are")
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"entry {place + 1} is not an object")
    return rows


def text_in(row: Mapping[str, Any], place: int, name: str) -> str:
    """Return the text of a field. Raises `TypeError`, which names the entry."""
    text = row.get(name)
    if not isinstance(text, str):
        raise TypeError(f"entry {place + 1} has no text {name!r}")
    return text


def fields_of(row: Any) -> dict[str, Any]:
    """Return the fields of an object."""
    if not isinstance(row, Mapping):
        raise TypeError("metadata is an object")
    return {str(name): each for name, each in row.items()}


def words_of(value: Any) -> str:
    """Return all text in a value."""
    return " ".join(_strings(value))


def time_of(value: Any) -> float | None:
    """Return a time in ISO 8601, or in seconds since 1970; None without one."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def id_of(*parts: Any) -> str:
    """Return an id for something without one: a digest of what it consists of."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(errors="replace"), digest_size=12).hexdigest()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
