"""Memories of a persona: in the runtime's `TieredMemory`, or in a few notes without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coterie.errors import UnknownMemory
from coterie.memory import AgentMemory, Memory

_AT_ONCE = 200


class TieredPersonaMemory:
    """Memories in the runtime's memory: kept on disk, searched by words, consolidated on a thread of the memory's."""

    def __init__(self, memory: AgentMemory) -> None:
        self.memory = memory
        self._latest: str | None = None

    def remember(self, text: str, kind: str, importance: float = 0.5) -> str:
        """Store an episode, and return its id."""
        self._latest = self.memory.remember({"content": text, "type": kind}, importance)
        return self._latest

    def remember_all(self, texts: Sequence[tuple[str, str]]) -> None:
        """Store episodes."""
        for text, kind in texts:
            self.remember(text, kind)

    def recent(self, limit: int) -> tuple[str, ...]:
        """Return the latest episodes, oldest first."""
        return tuple(_text(each) for each in reversed(self.memory.recent(limit))) if limit else ()

    def recall(self, question: str, limit: int) -> tuple[str, ...]:
        """Return the best matches for a question, best first."""
        return tuple(_text(each) for each in self.memory.recall(question, limit))

    def consolidate(self, *, force: bool) -> int:
        """Consolidate the memories, and return the number of consolidated episodes; `remember` never waits for it."""
        return self.memory.consolidate(force=force).episodes

    def mark(self) -> str:
        """Return the id of the latest episode."""
        if self._latest is None:
            newest = self.memory.recent(1)
            self._latest = newest[0].id if newest else ""
        return self._latest

    def go_back(self, mark: str) -> None:
        """Delete the episodes after a mark and the memories consolidated from them."""
        while True:
            batch = self.memory.recent(_AT_ONCE)
            later = [each.id for each in batch]
            if mark in later:
                later = later[: later.index(mark)]
            for id in later:  # noqa: A001 - the field's own name
                try:
                    self.memory.forget(id)
                except UnknownMemory:
                    # It was deleted with a memory that it was consolidated from.
                    continue
            if not later or len(later) < len(batch):
                break
        self._latest = None


class NoteMemory:
    """A bounded number of texts in the agent's state, searched by common words."""

    def __init__(self, read: Callable[[], Sequence[str]], write: Callable[[tuple[str, ...]], None], max_notes: int) -> None:
        self._read = read
        self._write = write
        self._max_notes = max_notes

    def remember(self, text: str, kind: str, importance: float = 0.5) -> str:  # noqa: ARG002 - as of a memory
        """Add a text; drop the oldest if there are too many."""
        self._write((*self._read(), text)[-self._max_notes :])
        return ""

    def remember_all(self, texts: Sequence[tuple[str, str]]) -> None:
        """Add texts; drop the oldest if there are too many."""
        self._write((*self._read(), *(text for text, _ in texts))[-self._max_notes :])

    def recent(self, limit: int) -> tuple[str, ...]:
        """Return the latest texts, oldest first."""
        return tuple(self._read()[-limit:]) if limit else ()

    def recall(self, question: str, limit: int) -> tuple[str, ...]:
        """Return the texts with the most words in common with a question; among equals, the newest first."""
        wanted = _words(question)
        scored = [(len(wanted & _words(text)), place, text) for place, text in enumerate(self._read())]
        best = sorted((each for each in scored if each[0]), key=lambda each: (-each[0], -each[1]))
        return tuple(text for _, _, text in best[:limit])

    def consolidate(self, *, force: bool) -> int:  # noqa: ARG002 - as of a memory
        """Do nothing: notes are not consolidated."""
        return 0

    def mark(self) -> str:
        """Return an empty text: notes are restored with the state."""
        return ""

    def go_back(self, mark: str) -> None:
        """Do nothing: notes are restored with the state."""


def _text(memory: Memory) -> str:
    value: Any = memory.value
    return str(value["content"]) if isinstance(value, Mapping) and "content" in value else memory.text


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) > 2}  # noqa: PLR2004 - "of" and "to" tell nothing
