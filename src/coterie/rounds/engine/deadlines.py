"""Turns that take too long."""

from __future__ import annotations

from collections import deque

from coterie.concurrency import Rank, Timer, Timers, new_lock
from coterie.kernel import Clock
from coterie.rounds.agents.host import Inbox, Report
from coterie.rounds.engine.watch import Watch
from coterie.rounds.turns.turn import Turn


class Deadlines:
    """Reports turns that have not ended `timeout` seconds after they began. One timer serves all, for all last the same.

    `begin` is called by the engine, the timer by the timers' thread; `_lock` guards the queue.
    """

    def __init__(self, clock: Clock, timeout: float | None, inbox: Inbox) -> None:
        self._timers = Timers(clock, "rounds")
        self.watch = Watch(self._timers, clock, timeout)
        """Names what runs between turns and takes as long as no turn may."""
        self._clock = clock
        self._timeout = timeout
        self._inbox = inbox
        self._lock = new_lock(Rank.RECORDS)
        self._turns: deque[tuple[float, Turn]] = deque()
        self._timer: Timer | None = None

    def begin(self, turn: Turn) -> None:
        """Note that a turn begins."""
        if self._timeout is None:
            return
        when = self._clock.monotonic() + self._timeout
        with self._lock:
            self._turns.append((when, turn))
            plan = self._timer is None
            if plan:
                self._timer = _PLANNED
        if plan:
            self._plan(when)

    def ended(self, turn: Turn) -> None:
        """Note that a turn has ended. Those that began before others mostly end before them, so the queue stays short."""
        with self._lock:
            while self._turns and (self._turns[0][1] is turn or self._turns[0][1].over):
                self._turns.popleft()

    def close(self) -> None:
        """Report no more."""
        self.watch.close()
        self._timers.close()

    def _plan(self, when: float) -> None:
        timer = self._timers.call_at(when, self._due)
        with self._lock:
            self._timer = timer

    def _due(self) -> None:
        now = self._clock.monotonic()
        late = []
        with self._lock:
            while self._turns and (self._turns[0][0] <= now or self._turns[0][1].over):
                late.append(self._turns.popleft()[1])
            when = self._turns[0][0] if self._turns else None
            self._timer = None if when is None else _PLANNED
        for turn in late:
            if not turn.over:
                self._inbox.put(Report(turn, late=True))
        if when is not None:
            self._plan(when)


_PLANNED = Timer(0.0, lambda: None, None)  # type: ignore[arg-type] # stands for one that is about to be set, and is never called
