"""Read the world of a run bit by bit: where its rounds end, and the numbers in it over the rounds."""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from types import MappingProxyType
from typing import Any, TypeAlias

from coterie.errors import HistoryGone
from coterie.kernel import SystemClock
from coterie.orchestrator import Bar
from coterie.rounds import RoundResult
from coterie.world import Event, World

_log = logging.getLogger(__name__)
_MOST_KEYS = 200
"""Keys whose numbers are kept without being asked for."""
_MOST_POINTS = 2_000
"""Points of a plot; with more rounds, every second of them is kept, and so on."""
_ROUND = "round ended"
_CHUNK = 500
_NONE = float("nan")
_MOST_OF_ROUND = 20_000
"""Events of a round beyond which it is not shown as a row."""
_LOOKED_THROUGH = 20_000
"""Events that a filter looks through."""
_WINDOW, _LEAP_POINTS = 10_000, 50
"""The newest events that a leap looks at, which a world has in memory; and the points of plots that it takes from them."""
_LIVE_SECONDS = 0.05
"""Processor time that one look at a live world reads for."""
_OUTRUN = 2
"""Looks in a row that were outrun by the world, after which the reader leaps."""


RowOf: TypeAlias = Callable[[RoundResult], Mapping[str, Any]]
"""Returns the row of a round, as the kind of the run shows it."""


class WorldReader:
    """Follows one world. Used by one thread at a time."""

    def __init__(self) -> None:
        self.row: RowOf | None = None
        self._wanted: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self.read = 0
        """The last event that was looked at."""
        self.rounds, self.ends = array("q"), array("q")
        """The numbers of the settled rounds, and the events that end them."""
        self.points = array("q")
        """The rounds of the points of the series."""
        self.series: dict[str, array[float]] = {}
        self.columns: dict[str, array[float]] = {}
        """The numbers in the rows of the kind."""
        self._now: dict[str, float] = {}
        self._events: list[Event] = []
        """The events of the round that has not ended, unless they are too many."""
        self._stride, self._last_digest = 1, ""
        self._newest, self._outrun, self._leapt = 0, 0, False
        self._could = _LOOKED_THROUGH
        """The events that the last look could read."""

    def want(self, keys: Sequence[str]) -> None:
        """Keep the numbers of these keys too; the log is read anew for one that was not kept."""
        missing = [key for key in keys if key not in self._now and key not in self._wanted]
        if missing:
            self._wanted.update(missing[:_MOST_KEYS])
            if self.read:
                self._begin()

    def refresh(self, world: World, budget: int, *, leap: bool = False) -> float:
        """Look at so many more events, and return the part of all that has been looked at.

        With `leap`, it leaves out events of a world that grows faster than it may read, and goes on with the newest ones. Later,
        without `leap`, it reads everything.
        """
        newest, known, began = world.sequence, first_known(world), SystemClock.thread()
        if self._leapt and not leap:
            self._begin()
        # The world has outrun a look if it made more events since than that could read.
        grown, could = newest - self._newest, min(budget // 2, self._could)
        self._outrun = self._outrun + 1 if self._newest and grown > could else 0
        self._newest = newest
        if leap and self._outrun >= _OUTRUN and self._leap(world, newest):
            return 1.0
        # A world without a log keeps its newest events only.
        self.read = max(self.read, min(known - 1, newest))
        if newest < self.read or (self.ends and self.read and not self._same(world)):
            # The run was resumed: it cut off events, and has perhaps made others with the same numbers.
            self._begin()
            self._newest = newest
        end = min(newest, self.read + budget)
        first, self._could = self.read, budget
        while self.read < end:
            if leap and SystemClock.thread() - began > _LIVE_SECONDS:
                self._could = self.read - first
                break
            last = min(end, self.read + 2_000)
            for event in history(world, self.read + 1, last):
                self._take(world, event)
            self.read = last
        return self.read / newest if newest else 1.0

    def end_of(self, world: World, number: int) -> int:
        """Return the event that ended the round; of an earlier one if it is not known. 0 before the first round."""
        place = bisect_left(self.rounds, number)
        if place < len(self.rounds) and self.rounds[place] == number:
            return self.ends[place]
        before = self.ends[place - 1] if place else 0
        if not self._leapt or number < 1 or place == len(self.rounds):
            return before
        # A leap left it out. The numbers of rounds grow with those of events.
        found = _last_of_round(world, number, before, self.ends[place])
        self.rounds.insert(place, number)
        self.ends.insert(place, found)
        return found

    @property
    def last_round(self) -> int:
        """The last settled round."""
        return self.rounds[-1] if self.rounds else 0

    @property
    def first_round(self) -> int:
        """The first round that a page can show: 0, the beginning, if the world still has it."""
        return 0 if not self.rounds or self.rounds[0] <= 1 else self.rounds[0]

    def _same(self, world: World) -> bool:
        events = history(world, self.ends[-1], self.ends[-1])
        if not events:
            return True  # it is no longer kept
        event = events[0]
        return event.kind == _ROUND and event.details.get("digest") == self._last_digest

    def _leap(self, world: World, newest: int) -> bool:
        """Go on with the newest rounds, and return whether there were some."""
        window = max(_WINDOW, 2 * (self.ends[-1] - self.ends[-2]) if len(self.ends) > 1 else 0)
        events = history(world, max(self.read, newest - window) + 1, newest)
        places = [place for place, event in enumerate(events) if event.kind == _ROUND]
        if not places or not self._now or (self.rounds and events[places[0]].round <= self.rounds[-1]):
            return False
        self._events, self._leapt = [], True
        for before, place in zip([None, *places[:-1]], places, strict=True):
            event = events[place]
            if place in places[-_LEAP_POINTS:]:
                view = world.at(event.sequence)
                self._now.update((key, float(view[key])) for key in self._now if _is_number(view.get(key)))
                if before is not None and place - before < _MOST_OF_ROUND:
                    self._events = events[before + 1 : place + 1]
            self._settle(world, event, whole=bool(self._events))
        self.read = events[places[-1]].sequence
        return True

    def _take(self, world: World, event: Event) -> None:
        if self.row is not None and len(self._events) < _MOST_OF_ROUND:
            self._events.append(event)
        for key, value in event.changes.items():
            if _is_number(value) and (key in self._now or len(self._now) < _MOST_KEYS or key in self._wanted):
                self._now[key] = float(value)
        if not self.rounds and not self.points and event.kind == "simulation started":
            self._point(0)
        if event.kind == _ROUND:
            self._settle(world, event)

    def _settle(self, world: World, event: Event, *, whole: bool = True) -> None:
        """Take the end of a round; `whole` is whether all of its events are known."""
        self.rounds.append(event.round)
        self.ends.append(event.sequence)
        self._last_digest = str(event.details.get("digest", ""))
        if len(self.rounds) % self._stride == 0:
            self._point(event.round, self._row_of(world, event) if whole else {})
        self._events = []

    def _row_of(self, world: World, ended: Event) -> dict[str, float]:
        """Return the numbers in the row of a round."""
        if self.row is None or len(self._events) == _MOST_OF_ROUND:
            return {}
        result = RoundResult(ended.round, self._last_digest, world.view(), tuple(self._events))
        try:
            row = dict(self.row(result))
        except Exception:  # noqa: BLE001 - code of a kind must not break the page; it is logged
            _log.warning("the kind cannot show round %d as a row", ended.round, exc_info=True)
            self.row = None
            return {}
        values = [(name, value) for name, value in list(row.items())[1:] if not isinstance(value, bool)]
        numbers = {name: float(value) for name, value in values if isinstance(value, int | float)}
        return numbers or {name: value.part for name, value in values if isinstance(value, Bar)}

    def _point(self, number: int, row: Mapping[str, float] = MappingProxyType({})) -> None:
        for values, lines in ((self._now, self.series), (row, self.columns)):
            for key, value in values.items():
                line = lines.setdefault(key, array("d"))
                line.extend([_NONE] * (len(self.points) - len(line)))
                line.append(value)
        self.points.append(number)
        if len(self.points) > _MOST_POINTS:
            self._stride *= 2
            self.points = self.points[::2]
            self.series = {key: line[::2] for key, line in self.series.items()}
            self.columns = {key: line[::2] for key, line in self.columns.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _last_of_round(world: World, number: int, before: int, after: int) -> int:
    """Return the last event of a round, or of an earlier one: after event `before`, and before the event `after`."""
    while after - before > 1:
        middle = (before + after) // 2
        found = history(world, middle, middle)
        if not found or found[0].round <= number:
            before = middle
        else:
            after = middle
    return before


def chosen_keys(reader: WorldReader, wanted: str) -> dict[str, list[str]]:
    """Return the keys of each plot by its title: those that the reader of the page wants, or else a fair choice.

    `wanted` has one plot for each part between commas; ``basket/*`` is all keys with this beginning.
    """
    if wanted:
        plots: dict[str, list[str]] = {}
        for part in filter(None, (each.strip() for each in wanted.split(","))):
            if part.endswith("*"):
                plots[part] = [key for key in reader.series if key.startswith(part[:-1])][:12]
            else:
                reader.want([part])
                plots[part] = [part]
        return plots
    alone, groups = [], dict[str, list[str]]()
    for key, line in reader.series.items():
        if key.startswith(("parameters/", "mechanism/")):
            continue
        prefix, slash, _ = key.partition("/")
        if slash:
            groups.setdefault(f"{prefix}/*", []).append(key)
        elif len(set(line)) > 1:
            alone.append(key)
    plots = {", ".join(alone[:5]): alone[:5]} if alone else {}
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:3]
    return plots | {title: keys[:12] for title, keys in largest}


def plots_of(reader: WorldReader, wanted: str, step_name: str) -> list[dict[str, Any]]:
    """Return the plots of a page."""
    made = []
    chosen = [
        (title, {key: reader.series[key] for key in keys if key in reader.series})
        for title, keys in chosen_keys(reader, wanted).items()
    ]
    if not wanted:
        chosen.insert(0, (", ".join(reader.columns), reader.columns))
    for title, lines in chosen:
        if not lines or not reader.points:
            continue
        length = len(reader.points)
        data = {
            "label": step_name,
            "x": list(reader.points),
            "names": [key.removeprefix(title[:-1]) if title.endswith("*") else key for key in lines],
            "series": [
                [None if isnan(each) else each for each in line] + [None] * (length - len(line)) for line in lines.values()
            ],
        }
        last = ", ".join(f"{key} {line[-1]:g}" for key, line in list(lines.items())[:6])
        made.append({"title": title, "data": data, "alt": f"{title} over {length} points; the last: {last}"})
    return made


def first_known(world: World) -> int:
    """Return the number of the first event that a world still has: 1 with a log."""
    if world.log is not None or not world.sequence:
        return 1
    try:
        world.history(1, 1)
    except HistoryGone as gone:
        return gone.first
    return 1


def history(world: World, first: int, last: int) -> list[Event]:
    """Return the events from `first` to `last` that a world still has."""
    try:
        return world.history(first, last)
    except HistoryGone:
        known = first_known(world)
        return world.history(known, last) if first < known <= last else []


def newest_events(world: World, last: int, wanted: Mapping[str, str], most: int) -> list[Event]:
    """Return the newest events up to number `last` that fit, newest first. Looks through a bounded number of them."""
    found: list[Event] = []
    for event in _backwards(world, last):
        if fits(event, wanted):
            found.append(event)
            if len(found) == most:
                break
    return found


def fits(event: Event, wanted: Mapping[str, str]) -> bool:
    """Return whether an event has the wanted parts of the agent's name, and of the kind or action."""
    kind = wanted.get("event", "")
    return wanted.get("agent", "") in event.agent and (not kind or kind in event.kind or kind in event.action)


def _backwards(world: World, last: int) -> Iterator[Event]:
    looked = 0
    while last > 0 and looked < _LOOKED_THROUGH:
        first = max(1, last - _CHUNK + 1)
        chunk = history(world, first, last)
        if not chunk:
            return
        yield from reversed(chunk)
        looked += len(chunk)
        last = first - 1
