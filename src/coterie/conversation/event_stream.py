"""The events of one conversation for any number of readers on any event loops."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

from coterie.concurrency import Rank, new_lock
from coterie.conversation.entries import FIRST_PART, PARTS, TextCompleted, events_of, identify
from coterie.conversation.events import AnyConversationEvent, TextWritten, TurnEnded
from coterie.conversation.journal import Journal

_PAGE = 500
"""Log entries of one read."""


class EventStream:
    """Holds the latest events in memory; older ones are read from the log.

    A reader has a position and no buffer, so a reader that leaves or stalls costs nothing and misses nothing: `read`
    continues after the last event that it returned. Safe from any thread; `_lock` guards all.
    """

    def __init__(self, journal: Journal, namespace: str, kept: int) -> None:
        self._journal = journal
        self._namespace = namespace
        self._lock = new_lock(Rank.RECORDS)
        self._events: deque[AnyConversationEvent | TextCompleted] = deque()
        self._kept = kept
        self._oldest = 0
        """The id up to which events are not in memory."""
        self._last = 0
        self._listeners: set[Callable[[], None]] = set()
        self._error: BaseException | None = None
        self._closed = False

    @property
    def last(self) -> int:
        """The id of the newest event; 0 before the first."""
        return self._last

    def begin(self, sequence: int) -> int:
        """Start after the last entry of the log; return the number of parts that this entry has already."""
        with self._lock:
            self._oldest = self._last = max(self._last, identify(sequence, FIRST_PART))
            self._events.clear()
            part = self._last & ((1 << PARTS) - 1)
        self._notify()
        return part

    def publish(self, events: Iterable[AnyConversationEvent | TextCompleted]) -> None:
        """Add events, each newer than the one before."""
        with self._lock:
            for event in events:
                self._events.append(event)
                self._last = event.id
            while len(self._events) > self._kept:
                self._oldest = self._events.popleft().id
        self._notify()

    def amend(self, events: Iterable[AnyConversationEvent | TextCompleted]) -> None:
        """Replace the events with the same ids that are still in memory."""
        amended = {each.id: each for each in events}
        with self._lock:
            self._events = deque(amended.get(each.id, each) for each in self._events)

    def close(self, error: BaseException | None = None) -> None:
        """End all readers, normally or with an error. Only the first close counts."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._error = error
        self._notify()

    def read(self, after: int, source: object = None, *, follow: bool = True) -> Cursor:
        """Return the events after the id `after`, until the stream is closed; without `follow` only the present ones.

        The returned cursor keeps `source` alive.
        """
        return Cursor(self, after, source, follow=follow)

    def behind(self, after: int) -> tuple[list[AnyConversationEvent | TextCompleted], int, bool, bool]:
        """Return the next events behind an id, where to go on after them, and two facts.

        These are whether nothing more will come, and whether the events are from the log, which has no pieces of texts.

        Raises the error of `close` once all events have been read.
        """
        with self._lock:
            floor, closed, error = self._oldest, self._closed, self._error
            if after >= floor:
                found = [event for event in self._events if event.id > after]
                if not found and closed and error is not None:
                    raise error
                return found, found[-1].id if found else after, closed, False
        page = list(itertools.islice(self._from_log(after, floor), _PAGE))
        return page, page[-1].id if len(page) == _PAGE else floor, False, True

    def writing(self) -> tuple[int, int, str]:
        """Return the id of the newest event, and the turn and the text of an answer that is being written, as of that event."""
        with self._lock:
            turn, pieces = 0, list[str]()
            for event in self._events:
                if isinstance(event, TextWritten) and not event.delivery:
                    turn = event.turn
                    pieces = [event.text] if event.offset == 0 else [*pieces, event.text]
                elif isinstance(event, TextCompleted | TurnEnded) and getattr(event, "turn", 0) == turn:
                    turn, pieces = 0, []
            return self._last, turn, "".join(pieces)

    @property
    def has_readers(self) -> bool:
        """Return whether a reader waits for the next event."""
        return bool(self._listeners)

    def add_listener(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, at each new event."""
        with self._lock:
            self._listeners.add(wake)

    def remove_listener(self, wake: Callable[[], None]) -> None:
        """Stop calling `wake`."""
        with self._lock:
            self._listeners.discard(wake)

    def _from_log(self, after: int, until: int) -> Iterable[AnyConversationEvent | TextCompleted]:
        # Events of one entry share its sequence number, so the current entry is read again.
        # The whole of a text has the id just before its entry's.
        sequence, last = (after >> PARTS) - 1, (until + 1) >> PARTS
        while True:
            records = self._journal.between(self._namespace, sequence, last, _PAGE)
            for record in records:
                sequence = record.sequence
                yield from (each for each in events_of(sequence, record.at, record.entry) if after < each.id <= until)
            if len(records) < _PAGE:
                return

    def _notify(self) -> None:
        with self._lock:
            wakes = list(self._listeners)
        for wake in wakes:
            wake()


class ReceivedText:
    """The received part of each text of one reader, so that it gets the rest when pieces are not in memory any more."""

    def __init__(self) -> None:
        self._given: dict[tuple[int, bool], int] = {}
        self._missed = False
        """Whether pieces may be missing. Until then a text that begins in the middle is one that was read elsewhere before."""

    def complete(self, events: Iterable[AnyConversationEvent | TextCompleted], *, logged: bool) -> list[AnyConversationEvent]:
        """Return events without pieces that follow a gap, and with the rest of each text at its end."""
        self._missed = self._missed or logged
        found: list[AnyConversationEvent] = []
        for event in events:
            if isinstance(event, TextCompleted):
                # A delivery is the only one that is being written.
                key = next((each for each in self._given if each[1]), (0, True)) if event.delivery else (event.turn, False)
                given = self._given.pop(key, 0 if self._missed else len(event.text))
                turn = key[0] or event.turn
                if rest := event.text[given:]:
                    found.append(
                        TextWritten(id=event.id, at=event.at, turn=turn, text=rest, delivery=event.delivery, offset=given)
                    )
            elif isinstance(event, TextWritten):
                key = (event.turn, event.delivery)
                if event.offset in (0, self._given.get(key, 0 if self._missed else event.offset)):
                    self._given[key] = event.offset + len(event.text)
                    found.append(event)
            else:
                found.append(event)
        return found


class Cursor(AsyncIterator[AnyConversationEvent]):
    """One reader's position in an event stream. A cancelled read loses no event. For one task at a time."""

    def __init__(self, event_stream: EventStream, after: int, source: object, *, follow: bool = True) -> None:
        self._source = source
        self._follow = follow
        self._event_stream = event_stream
        self._after = after
        self._found: deque[AnyConversationEvent] = deque()
        self._texts = ReceivedText()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyConversationEvent:
        while not self._found:
            news = asyncio.get_running_loop().create_future()
            wake = _waker(news)
            # Before the check, so that no event is missed in between.
            self._event_stream.add_listener(wake)
            try:
                found, after, over, logged = self._event_stream.behind(self._after)
                self._found.extend(self._texts.complete(found, logged=logged))
                if not found and after == self._after:
                    if over or not self._follow:
                        raise StopAsyncIteration
                    await news
                self._after = after
            finally:
                self._event_stream.remove_listener(wake)
        return self._found.popleft()

    async def aclose(self) -> None:
        """Stop reading. The stream holds nothing for a reader, so nothing is released."""
        self._found.clear()


def _waker(news: asyncio.Future[None]) -> Callable[[], None]:
    loop = news.get_loop()

    def set_it() -> None:
        if not news.done():
            news.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(set_it)
        except RuntimeError:
            # The loop is closed, and so are its readers.
            return

    return wake
