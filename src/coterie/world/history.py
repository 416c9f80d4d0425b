"""The recent commits of a world, in memory, and its counts."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

import msgspec

from coterie.world.state.event import Event, fold
from coterie.world.state.view import View


class History:
    """The last commits: their events and the views after them, which share unchanged data.

    Bounded by the number of events: it drops whole commits, oldest first, but never the newest. Not safe from several
    threads: the world guards it.
    """

    def __init__(self, view: View, most: int) -> None:
        self.most = most
        self._before = view
        self._moments: deque[tuple[View, tuple[Event, ...]]] = deque()
        self._count = 0

    @property
    def first(self) -> int:
        """The sequence number of the oldest known view."""
        return self._before.sequence

    def add(self, view: View, events: tuple[Event, ...]) -> None:
        """Add a commit."""
        self._moments.append((view, events))
        self._count += len(events)
        while self._count > self.most and len(self._moments) > 1:
            self._before, gone = self._moments.popleft()
            self._count -= len(gone)

    def at(self, sequence: int) -> View | None:
        """Return the view after event `sequence`, or None if it is unknown here."""
        if sequence <= self._before.sequence:
            return self._before if sequence == self._before.sequence else None
        moments = list(self._moments)
        place = bisect_left(moments, sequence, key=lambda moment: moment[0].sequence)
        if place == len(moments):
            return None
        view, events = moments[place]
        if view.sequence == sequence:
            return view
        before = moments[place - 1][0] if place else self._before
        return fold(before, (event for event in events if event.sequence <= sequence))

    def events(self, first: int, last: int) -> list[Event] | None:
        """Return the events from number `first` to number `last`, or None if one is unknown here."""
        if first <= self._before.sequence:
            return None
        return [event for _, events in self._moments for event in events if first <= event.sequence <= last]

    def since(self, time: float) -> Iterator[Event]:
        """Yield the known events at or after a time, newest commit first."""
        for _, events in reversed(list(self._moments)):
            if events[-1].time < time:
                return
            yield from events


class Statistics(msgspec.Struct, frozen=True):
    """Counts of a world since it was opened."""

    keys: int
    events: int
    """All events, including those before it was opened."""
    commits: int
    snapshots: int
    observer_failures: int
    last_failure: str
    """The last error of an observer, as text."""
