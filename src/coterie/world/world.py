"""The world: a shared state that is the fold of its events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import msgspec

from coterie.concurrency import AsyncContext, Rank, new_lock
from coterie.errors import CoterieError, HistoryGone, InvalidSetting, WorldClosed
from coterie.kernel import Clock, check_instance, check_number, clock_or_system, stream
from coterie.storage import Transaction
from coterie.world.commit_queue import CommitQueue
from coterie.world.committing import Invariant, PendingCommit, in_span, permit
from coterie.world.drafting import Draft, OnFailure
from coterie.world.history import History, Statistics
from coterie.world.intent import ExternalEvent, Intent, in_order
from coterie.world.log import EventLog, append, newest_state
from coterie.world.maintenance import ExpiryQueue, WorldMaintenance
from coterie.world.measuring import FiguresSource, merged_figures, stale_keys
from coterie.world.observers import Observer, Observers
from coterie.world.resolvers import FirstCome, Resolver
from coterie.world.state.differences import Difference, differences
from coterie.world.state.event import EMPTY, Event, EventKind, fold
from coterie.world.state.values import freeze
from coterie.world.state.view import Digest, View

_log = logging.getLogger(__name__)

_REMEMBERED = 10_000
"""The default number of events in memory."""
_FOREVER = float("inf")


class World(AsyncContext):
    """A state that is the fold of its events. Views read it; decided intents change it.

    ::

        with World({"lake": 100}, log=EventLog("run.db")) as world:
            view = world.view()
            events = world.commit([Intent("ada", "take", {"amount": 10})], resolver=resolvers.Rationing("lake"))

    `initial` is the state of a new world. A log with events is resumed from its newest snapshot, and `initial` is then
    ignored. Without a log, the world lives in memory only.

    `clock` gives the world's time, in seconds since 1970, unless a commit gives one. `history` is the number of events in
    memory. A snapshot is stored in the log after every `snapshot_every` events, or after as many events as there are keys
    if those are more; every `snapshot_seconds` if given; and on close. Every `expire_every` seconds, if given, expired
    keys are removed. `admit` is called before each commit with the number of its intents, and before each update
    with 1; it may wait or raise: see `ResourceController`.

    Safe from any thread. Commits run one after another, in the order of arrival; readers never wait for them. `_lock`
    guards the newest view, the digest and the history, and no user code runs under it.
    """

    def __init__(
        self,
        initial: Mapping[str, Any] | None = None,
        *,
        log: EventLog | None = None,
        clock: Clock | None = None,
        history: int = _REMEMBERED,
        snapshot_every: int = 10_000,
        snapshot_seconds: float | None = None,
        expire_every: float | None = None,
        admit: Callable[[int], object] | None = None,
    ) -> None:
        check_instance("World.initial", initial, (Mapping, type(None)), "a mapping of keys to values")
        check_instance("World.log", log, (EventLog, type(None)), 'an EventLog: EventLog("run.db")')
        check_number("World.history", history, least=1, whole=True)
        check_number("World.snapshot_every", snapshot_every, least=1, whole=True)
        check_instance("World.admit", admit, (Callable, type(None)), "a function, such as ResourceController.admit")  # type: ignore[arg-type] # an abstract class will do
        self.clock = clock_or_system("World.clock", clock)
        self.log = log
        self._admit = admit
        self._snapshot_every = snapshot_every
        self._commit_queue = CommitQueue()
        self._lock = new_lock(Rank.WORLD)
        self.rules: Mapping[int, Invariant] = {}  # replaced as a whole, under `_lock`
        self._observers = Observers()
        self.closed = False
        """Whether it refuses changes. Only `close` sets it."""
        self._commits = self._snapshots = 0
        self._view, self._digest, self._kept = (EMPTY, Digest(), 0) if log is None else newest_state(log)
        self._expiries = ExpiryQueue(self._view)
        self._history = History(self._view, history)
        if self._view.sequence == 0 and initial:
            self.update(initial, kind=EventKind.BEGAN)
        self._maintenance = WorldMaintenance(self, self.clock, self.expire, expire_every, self.snapshot, snapshot_seconds)

    @classmethod
    def replay(cls, log: EventLog, until: int | None = None) -> World:
        """Return a world in memory, folded from the first event of a log without its snapshots.

        `until` is the last applied event. The log stays open and unchanged. Raises `LogDamaged`, and `InvalidSetting`.
        """
        check_instance("World.replay.log", log, EventLog, 'an EventLog: EventLog("run.db")')
        check_number("World.replay.until", until, whole=True, optional=True)
        world = cls()
        view = fold(EMPTY, log.events(1, until))
        world._view, world._digest, world._history = view, Digest.of(view), History(view, _REMEMBERED)
        world._expiries = ExpiryQueue(view)
        return world

    # Reading.

    def view(self) -> View:
        """Return the newest view, in O(1). It never changes."""
        return self._view

    @property
    def sequence(self) -> int:
        """The number of the last event."""
        return self._view.sequence

    def digest(self) -> str:
        """Return the canonical hash of keys, values and expiries, 64 hexadecimal digits, in time for the keys changed since the last."""
        with self._lock:
            return self._digest.text(self._view)

    def at(self, sequence: int) -> View:
        """Return the view after event `sequence`. Raises `HistoryGone`."""
        whole = sequence.__class__ is int
        with self._lock:
            newest, known = self._view, self._history.at(sequence) if whole else None
            first = self._history.first
        if known is not None:
            return known
        if not whole or not 0 <= sequence <= newest.sequence or self.log is None:
            raise HistoryGone(sequence, 0 if self.log is not None else first, newest.sequence)
        kept = self.log.newest(sequence)
        base = kept.view if kept is not None else EMPTY
        return fold(base, self.log.events(base.sequence + 1, sequence))

    def history(self, first: int = 1, last: int | None = None) -> list[Event]:
        """Return the events from number `first` to number `last`: from memory or from the log.

        Raises `HistoryGone` if some are in neither.
        """
        check_number("World.history.first", first, least=-_FOREVER, whole=True)
        check_number("World.history.last", last, least=-_FOREVER, whole=True, optional=True)
        with self._lock:
            end = self._view.sequence if last is None else last
            found = self._history.events(first, end)
            kept = self._history.first
        if found is not None:
            return found
        if self.log is None:
            raise HistoryGone(first, kept + 1, self._view.sequence)
        return list(self.log.events(first, end))

    def differences(self, first: int, last: int | None = None) -> tuple[Difference, ...]:
        """Return the differences from event `first` to event `last`, or to now. Raises `HistoryGone`."""
        end = self.sequence if last is None else last
        before, after = self.at(first), self.at(end)
        events = self.history(min(first, end) + 1, max(first, end))
        return differences(before, after, {key for event in events for key in (*event.changes, *event.removed)})

    def statistics(self) -> Statistics:
        """Return the counts."""
        view, observers = self._view, self._observers
        return Statistics(len(view), view.sequence, self._commits, self._snapshots, observers.failures, observers.last_failure)

    def metrics(self, *monitors: FiguresSource) -> dict[str, float]:
        """Return the counts, and the last figures of monitors, as one set by name."""
        return merged_figures(self.statistics(), monitors)

    def stale(self, age: float) -> tuple[str, ...]:
        """Return the keys that were not set for `age` seconds of the world's time, as far as its history in memory reaches."""
        check_number("World.stale.age", age)
        since = self.clock.time() - age
        with self._lock:
            view, recent = self._view, list(self._history.since(since))
        return stale_keys(view, recent, since)

    # Changing.

    def commit(
        self,
        intents: Iterable[Intent],
        *,
        resolver: Resolver | None = None,
        seed: int | str | None = None,
        notes: Sequence[ExternalEvent] = (),
        time: float | None = None,
        on_failure: OnFailure | None = None,
        also: Callable[[Transaction], object] | None = None,
        durable: bool = True,
    ) -> tuple[Event, ...]:
        """Decide intents with `resolver` (by default `FirstCome`) and return an event for each.

        The order of `intents` does not matter. Random decisions come from `seed`, by default the number of the last event.
        `notes` are applied after the intents, in the same commit. The commit is atomic; when it returns, the events are in
        the log. Raises `InvalidIntent`, `ResolverFailed`, `RuleFailed`, `InvalidValue`, `UpdateRefused` if an invariant
        objects to a note, and errors of the log and of `admit`. With `on_failure`, intents with which the resolver or an
        invariant fails are refused, and it is called with the `CommitFailure`; it may raise. Without `durable` the events
        survive the end of the process, and reach the disk with the next durable commit.
        """
        check_number("World.commit.time", time, least=-_FOREVER, optional=True)
        check_instance("World.commit.seed", seed, (int, str, type(None)), "a whole number or text")
        if isinstance(seed, str):
            freeze(seed, "seed")
        batch = in_order(intents)
        deciding = resolver if resolver is not None else FirstCome()
        check_instance("World.commit.resolver", deciding, Callable, "a function, or one of coterie.world.resolvers")  # type: ignore[arg-type] # an abstract class will do
        if self._admit is not None:
            self._admit(len(batch))

        def make(view: View, now: float) -> PendingCommit:
            random = partial(stream, view.sequence if seed is None else seed, "commit")
            made = Draft(view, batch, deciding, random, self.rules, now, on_failure).make()
            for note in notes:
                made.noted(note.frozen())
            permit(self.rules, view, made, notes)
            return made

        return in_span(partial(self._make, make, time, also, durable), len(batch)) if batch or notes else ()

    def update(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        ttl: float | None = None,
        kind: str = EventKind.CHANGED,
        agent: str = "",
        reason: str = "",
        round: int = 0,  # noqa: A002 - the field's own name
        details: Mapping[str, Any] | None = None,
        time: float | None = None,
    ) -> Event:
        """Change the world from outside by one event, and return the event. Without changes it is a note in the log.

        The set keys expire after `ttl` seconds of the world's time, if given. Raises `UpdateRefused` if an invariant
        objects, and `InvalidValue`.
        """
        check_instance("World.update.changes", changes, (Mapping, type(None)), "a mapping of keys to values")
        if isinstance(remove, str) or not isinstance(remove, Collection):
            raise InvalidSetting("World.update.remove", remove, "several keys: [...]")
        check_number("World.update.time", time, least=-_FOREVER, optional=True)
        check_number("World.update.ttl", ttl, above=0, optional=True)
        if self._admit is not None and kind != EventKind.BEGAN:
            self._admit(1)
        note = ExternalEvent(kind, agent, reason, changes or {}, remove, {} if details is None else details, round).frozen()

        def make(view: View, now: float) -> PendingCommit:
            made = PendingCommit(view, now)
            made.noted(note if ttl is None else msgspec.structs.replace(note, expires=dict.fromkeys(note.changes, now + ttl)))
            permit(self.rules, view, made, [note])
            return made

        return self._make(make, time)[0]

    def expire(self, now: float | None = None) -> tuple[str, ...]:
        """Remove the keys that have expired by `now`, by one event if any, and return them. Raises `InvalidSetting`."""
        check_number("World.expire.now", now, least=-_FOREVER, optional=True)
        gone: list[str] = []

        def make(view: View, time: float) -> PendingCommit:
            due = self._expiries.due(view, time)
            gone.extend(due)
            made = PendingCommit(view, time)
            if due:
                made.happened(Event(view.sequence + 1, EventKind.EXPIRED, removed=tuple(due), time=time))
            return made

        if self.closed or not len(self._view.deadlines_map):
            return ()
        self._make(make, now)
        return tuple(gone)

    def validate(self, rule: Invariant) -> Callable[[], None]:
        """Check each change with `rule` before it is applied; return a function that ends this.

        If it objects, an intent is refused with its reason, and an update raises `UpdateRefused`.
        """
        check_instance("World.validate", rule, Callable, "a function of the view before and the view after")  # type: ignore[arg-type] # an abstract class will do
        with self._lock:
            number = max(self.rules, default=0) + 1
            self.rules = {**self.rules, number: rule}

        def end() -> None:
            with self._lock:
                self.rules = {key: each for key, each in self.rules.items() if key != number}

        return end

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` with the view and the events after each commit; return a function that ends this.

        A committing thread calls it. Its errors are logged and counted, and it is called again. Raises `InvalidSetting`.
        """
        check_instance("World.subscribe", observer, Callable, "a function of a view and events")  # type: ignore[arg-type] # as above
        return self._observers.add(observer)

    def truncate(self, sequence: int, also: Callable[[Transaction], object] | None = None) -> View:
        """Go back to the view after event `sequence`, delete later events, also in the log, and return the view.

        For resuming from a checkpoint after a crash: the deleted events must not have been acknowledged. Observers are not
        called. Raises `HistoryGone`.
        """
        with self._commit_queue:
            view = self.at(sequence)
            if self.log is not None and sequence < self._view.sequence:
                self.log.truncate(sequence, also)
            with self._lock:
                self._view, self._digest = view, Digest.of(view)
                self._history = History(view, self._history.most)
                self._expiries = ExpiryQueue(view)
                self._kept = min(self._kept, sequence)
        return view

    # Snapshots and closing.

    def snapshot(self) -> View:
        """Store the newest view in the log, if any, so that it opens quickly, and return the view."""
        with self._lock:
            view = self._view
            total = self._digest.total(view)
            before, self._kept = self._kept, view.sequence
            fresh = self.log is not None and view.sequence > before
        if fresh and self.log is not None:
            # After a failure it is not tried again at each commit, but after the usual number of events.
            self.log.keep(view, total).result()
        with self._lock:
            self._snapshots += fresh
        return view

    def close(self) -> None:
        """Store a snapshot and close the log. Views stay valid. Closing again does nothing."""
        self._maintenance.close()
        with self._commit_queue:
            if self.closed:
                return
            self.closed = True
        try:
            self.snapshot()
        finally:
            if self.log is not None:
                self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<World of {len(self._view)} keys after event {self._view.sequence}>"

    def __deepcopy__(self, memo: object) -> World:
        return self

    def _make(
        self,
        make: Callable[[View, float], PendingCommit],
        time: float | None,
        also: Callable[[Transaction], object] | None = None,
        durable: bool = True,  # noqa: FBT001, FBT002 - of this class alone
    ) -> tuple[Event, ...]:
        """Make a commit: append it to the log, then publish the new view."""
        with self._commit_queue:
            if self.closed:
                raise WorldClosed("it cannot be changed")
            before = self._view
            made = make(before, self.clock.time() if time is None else float(time))
            events = tuple(made.events)
            if not events:
                return ()
            interrupted = None if self.log is None else append(self.log, events, also, durable=durable)
            view = made.fold.view()
            self._expiries.add(made.expires)
            with self._lock:
                self._digest.lighten(before)
                self._digest.touch(made.fold.touched, before)
                self._view = view
                self._history.add(view, events)
                self._commits += 1
                due = self.log is not None and view.sequence - self._kept >= max(self._snapshot_every, len(view))
            if due:
                self._snapshot_if_possible()
            self._observers.queue(view, events)
        self._observers.tell()
        if interrupted is not None:
            raise interrupted
        return events

    def _snapshot_if_possible(self) -> None:
        """Store a due snapshot. After a failure the log only opens more slowly."""
        try:
            self.snapshot()
        except CoterieError:
            _log.exception("a snapshot of a world could not be stored; its events are in the log")
