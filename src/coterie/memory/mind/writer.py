"""Writing of an agent's memories: each with the words of its neighbours in time and its date, for searches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from coterie.memory.checking import check_importance, check_seconds, check_text, check_texts, check_time
from coterie.memory.mind.consolidation import Insight
from coterie.memory.mind.episodes import Episodes, key_of
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.records import present
from coterie.memory.text.values import text_of
from coterie.memory.tiered import TieredMemory
from coterie.memory.writing.pending import MemoryPriority

_NEIGHBOUR = 1_000
"""The number of characters of a neighbour's text in the context of an episode."""


def date_words(time: float) -> str:
    """Return the date of a time in words that a question may contain: Monday 8 May 2023. Empty for an invalid date."""
    try:
        date = datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{date:%A} {date.day} {date:%B} {date.year}"


def context_of(before: str, after: str, time: float) -> str:
    """Return the context of an episode: the texts of its neighbours, and its date."""
    return "\n".join(part for part in (before[:_NEIGHBOUR], after[:_NEIGHBOUR], date_words(time)) if part)


class EpisodeWriter:
    """Writes the memories of one agent. Callers of `write` and `scrub` hold the lock of the agent's `Episodes`."""

    def __init__(self, memory: TieredMemory, agent: str, episodes: Episodes) -> None:
        self._memory = memory
        self._agent = agent
        self._episodes = episodes

    def write(
        self,
        value: Any,
        importance: float,
        text: str,
        *,
        at: float | None = None,
        ttl: float | None = None,
        valid_from: float | None = None,
        valid_until: float | None = None,
    ) -> MemoryRecord:
        """Store an episode after the newest, add each to the context of the other, and return its record."""
        lives = check_seconds("ttl", ttl)
        at = check_time("time", at)
        valid_from, valid_until = check_time("valid_from", valid_from), check_time("valid_until", valid_until)
        check_text("text", text)
        body = self._memory.records.encode(value)
        newest = self._newest()
        id = self._memory.records.new_id()  # noqa: A001 - the field's own name

        def make(_: MemoryRecord | None, version: int, now: float) -> MemoryRecord:
            happened = self._episodes.moment(now) if at is None else at
            return MemoryRecord(
                id=id,
                key=key_of(self._agent, MemoryKind.EPISODE, id),
                version=version,
                value=body,
                agent=self._agent,
                kind=MemoryKind.EPISODE,
                importance=importance,
                created=happened,
                last_access=now,
                expires=None if lives is None else now + lives,
                entered=now,
                text=text,
                context=context_of(newest.text if newest is not None else "", "", happened),
                valid_from=valid_from,
                valid_until=valid_until,
            )

        record = self._memory.records.put(key_of(self._agent, MemoryKind.EPISODE, id), make)
        if newest is not None and text:
            context = f"{newest.context}\n{text[:_NEIGHBOUR]}"
            self.change(newest.key, context=context)
        self._episodes.add(record)
        return record

    def _newest(self) -> MemoryRecord | None:
        """Return the newest episode that still exists."""
        state = self._episodes
        if state.last is None and state.times:
            state.last = self._read(next(reversed(state.times)))
        return state.last

    def learn(self, id: str, insight: Insight) -> MemoryRecord:  # noqa: A002 - the field's own name
        """Store a semantic memory, and return its record."""
        key, text = self.words_of(id, insight)
        check_text("text", text)
        body = self._memory.records.encode(insight.value)
        importance = check_importance(insight.importance)
        sources = check_texts("sources", insight.sources)
        since, until = check_time("valid_from", insight.valid_from), check_time("valid_until", insight.valid_until)

        def make(before: MemoryRecord | None, version: int, now: float) -> MemoryRecord:
            return MemoryRecord(
                id=id,
                key=key,
                version=version,
                value=body,
                agent=self._agent,
                kind=MemoryKind.SEMANTIC,
                importance=importance,
                created=before.created if before is not None else now,
                last_access=now,
                entered=now,
                text=text,
                context=date_words(now),
                sources=sources,
                valid_from=since,
                valid_until=until,
                fact=insight.fact,
            )

        return self._memory.records.put(key, make)

    def words_of(self, id: str, insight: Insight) -> tuple[str, str]:  # noqa: A002 - the field's own name
        """Return the key and the searchable text of a semantic memory."""
        return key_of(self._agent, MemoryKind.SEMANTIC, id), insight.text if insight.text is not None else text_of(
            insight.value
        )

    def change(self, key: str, **fields: Any) -> None:
        """Change some fields of a memory, if it still exists."""
        with suppress(LookupError):
            self._memory.records.put(
                key, lambda before, version, _: replace(present(before), version=version, **fields), priority=MemoryPriority.LOW
            )

    def change_if(self, key: str, condition: Callable[[MemoryRecord], bool], **fields: Any) -> None:
        """Change some fields of a memory, if it still exists and meets a condition."""

        def make(before: MemoryRecord | None, version: int, _: float) -> MemoryRecord:
            if not condition(present(before)):
                raise LookupError
            return replace(present(before), version=version, **fields)

        with suppress(LookupError):
            self._memory.records.put(key, make, priority=MemoryPriority.LOW)

    def citing(self, id: str) -> list[MemoryRecord]:  # noqa: A002 - the field's own name
        """Return the memories of this agent that cite another."""
        self._memory.records.catch_up()
        now = self._memory.clock.time()
        return [record for record in self._memory.records.archive.citing(self._agent, id) if not record.expired(now)]

    def scrub(self, record: MemoryRecord, text: str | None = None) -> None:
        """Remove the words of an episode from the contexts of its neighbours, or replace them by a new text of it."""
        before, after = self._episodes.neighbours(record.id)
        first, last = self._read(before), self._read(after)
        if first is not None:
            outer = self._read(self._episodes.neighbours(first.id)[0])
            beside = _text(last) if text is None else text
            self.change(first.key, context=context_of(_text(outer), beside, first.created))
        if last is not None:
            outer = self._read(self._episodes.neighbours(last.id)[1])
            beside = _text(first) if text is None else text
            self.change(last.key, context=context_of(beside, _text(outer), last.created))
        # Its context may have changed; the next episode reads it again.
        self._episodes.last = None

    def _read(self, id: str | None) -> MemoryRecord | None:  # noqa: A002 - the field's own name
        return self._memory.records.get(key_of(self._agent, MemoryKind.EPISODE, id)) if id is not None else None


def _text(record: MemoryRecord | None) -> str:
    return record.text if record is not None else ""
