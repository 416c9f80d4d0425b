"""The events of one conversation, for any number of readers, on any event loops, who come and go as they like."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from coterie.concurrency import Rank, new_lock
from coterie.conversation.events import Event
from coterie.conversation.history.entries import FIRST_PART, PARTS, events_of, identify
from coterie.conversation.history.journal import Journal

_PAGE = 500
"""Entries of the log that are read at a time."""


class Feed:
    """Holds the latest events in memory; older ones are read from the log.

    A reader has a place in the feed and no buffer of its own, so one who goes away, or never reads on, costs nothing and
    misses nothing: `read` goes on behind the last event that it was given. Safe from any thread; `_lock` guards all.
    """

    def __init__(self, journal: Journal, namespace: str, kept: int) -> None:
        self._journal = journal
        self._namespace = namespace
        self._lock = new_lock(Rank.RECORDS)
        self._events: deque[Event] = deque()
        self._kept = kept
        self._floor = 0
        """The id up to which events are not in memory."""
        self._last = 0
        self._wakes: set[Callable[[], None]] = set()
        self._error: BaseException | None = None
        self._closed = False

    @property
    def last(self) -> int:
        """The id of the newest event; 0 before the first."""
        return self._last

    def begin(self, sequence: int) -> int:
        """Begin behind what the log holds already; return the number of parts that its last entry has by now."""
        with self._lock:
            self._floor = self._last = max(self._last, identify(sequence, FIRST_PART))
            self._events.clear()
            part = self._last & ((1 << PARTS) - 1)
        self._ring()
        return part

    def publish(self, events: Iterable[Event]) -> None:
        """Add events, each newer than those before it."""
        with self._lock:
            for event in events:
                self._events.append(event)
                self._last = event.id
            while len(self._events) > self._kept:
                self._floor = self._events.popleft().id
        self._ring()

    def close(self, error: BaseException | None = None) -> None:
        """End all reading: in order, or with an error."""
        with self._lock:
            self._closed = True
            self._error = error
        self._ring()

    async def read(self, after: int) -> AsyncIterator[Event]:
        """Yield the events behind the one of that id, as they come, until the feed is closed."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(news.set)
            except RuntimeError:
                # The loop has been closed, and its readers with it.
                self._forget(wake)

        with self._lock:
            self._wakes.add(wake)
        try:
            while True:
                news.clear()
                with self._lock:
                    floor, closed = self._floor, self._closed
                    found = [event for event in self._events if event.id > after] if after >= floor else None
                if found is None:
                    for event in self._from_log(after, floor):
                        after = event.id
                        yield event
                    after = max(after, floor)
                    continue
                for event in found:
                    after = event.id
                    yield event
                if not found:
                    if closed:
                        if self._error is not None:
                            raise self._error
                        return
                    await news.wait()
        finally:
            self._forget(wake)

    def _from_log(self, after: int, until: int) -> Iterable[Event]:
        # Events of one entry share its sequence number, so the one at hand is looked at again.
        sequence, last = (after >> PARTS) - 1, until >> PARTS
        while True:
            records = self._journal.between(self._namespace, sequence, last, _PAGE)
            for record in records:
                sequence = record.sequence
                yield from (each for each in events_of(sequence, record.at, record.entry) if after < each.id <= until)
            if len(records) < _PAGE:
                return

    def _forget(self, wake: Callable[[], None]) -> None:
        with self._lock:
            self._wakes.discard(wake)

    def _ring(self) -> None:
        with self._lock:
            wakes = list(self._wakes)
        for wake in wakes:
            wake()
