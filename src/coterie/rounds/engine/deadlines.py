"""Deadlines of turns, and a watch on user code that runs between turns."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from coterie.concurrency import PeriodicJob, Rank, Timer, Timers, new_lock
from coterie.concurrency.threads import stack_of
from coterie.kernel import Clock
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.turn import Turn

_ROUNDING = 0.001
"""Seconds of waits for a thread that do not matter."""
_PAUSE = 0.01
"""Least seconds until a turn that has waited for a thread is looked at again."""


class Deadlines:
    """Report turns that have not ended `timeout` seconds after they began. All have the same timeout, so one timer serves all.

    A turn's time counts from when a thread begins it, where its executor calls `begin`, or from when a runtime agent is asked for it. Later waits for a thread, after an ``await``,
    do not count: the engine calls `extend` for a turn that is due. While a stuck turn may hold a thread that
    others wait for, the engine calls `begin` for those that wait, so that they end too; the executor's call starts their time
    anew. The engine's thread calls `ended`, the timers' thread calls `_due`; `_lock` guards the queue and `Turn.due`.
    """

    def __init__(self, clock: Clock, timeout: float | None, inbox: Inbox) -> None:
        self._timers = Timers(clock, "rounds")
        self.watch = UserCodeWatch(self._timers, clock, timeout)
        """Logs user code between turns that takes longer than a turn may."""
        self._clock = clock
        self._timeout = timeout
        self._inbox = inbox
        self._lock = new_lock(Rank.RECORDS)
        self._turns: deque[tuple[float, Turn]] = deque()
        self._timer: Timer | None = None

    def begin(self, turn: Turn, since: float | None = None) -> None:
        """Start the deadline of a turn that begins now, or has begun at a time, or start it anew. Safe from any thread."""
        if self._timeout is None:
            return
        if since is not None and since + self._timeout <= self._clock.monotonic():
            self._inbox.put(Report(turn, late=True))
            return
        with self._lock:
            when = turn.due = (self._clock.monotonic() if since is None else since) + self._timeout
            turn.waited = turn.waits() if turn.waits is not None else 0.0
            self._turns.append((when, turn))
            plan = self._timer is None
            if plan:
                self._timer = _PLANNED
        if plan:
            self._plan(when)

    def extend(self, turn: Turn) -> bool:
        """Allow for the waits for a thread since the beginning of a turn that is due; return False if there were none."""
        if turn.waits is None or turn.due is None:
            return False
        waited = turn.waits() - turn.waited
        if waited <= _ROUNDING:
            return False
        with self._lock:
            turn.waited += waited
            when = turn.due = max(turn.due + waited, self._clock.monotonic() + _PAUSE)
        self._timers.call_at(when, lambda: self._report(when, turn))
        return True

    def _report(self, when: float, turn: Turn) -> None:
        if not _is_void(when, turn):
            self._inbox.put(Report(turn, late=True))

    def ended(self, turn: Turn) -> None:
        """Drop the deadline of a turn. Turns mostly end in the order of their beginning, so the queue stays short."""
        if turn.due is None:
            return
        with self._lock:
            while self._turns and (self._turns[0][1] is turn or _is_void(*self._turns[0])):
                self._turns.popleft()

    def wait_for(self, running: dict[int, tuple[Turn, Any]], take: Callable[[], Report | BaseException | None]) -> None:
        """Wait for the running turns: a model request of theirs may be paid for already, and its reply is recorded.

        `take` waits for the next report.
        """
        while running:
            report = take()
            if isinstance(report, BaseException):
                raise report
            found = running.pop(id(report.turn), None) if report is not None else None
            if found is not None:
                found[0].over = True
                self.ended(found[0])

    def close(self) -> None:
        """Stop reporting."""
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
            while self._turns and (self._turns[0][0] <= now or _is_void(*self._turns[0])):
                first, turn = self._turns.popleft()
                if not _is_void(first, turn):
                    late.append(turn)
            when = self._turns[0][0] if self._turns else None
            self._timer = None if when is None else _PLANNED
        for turn in late:
            if not turn.over:
                self._inbox.put(Report(turn, late=True))
        if when is not None:
            self._plan(when)


def _is_void(when: float, turn: Turn) -> bool:
    """Return whether a turn has ended, or its deadline was started anew."""
    return turn.over or turn.due != when


_PLANNED = Timer(0.0, lambda: None, None)  # type: ignore[arg-type] # a placeholder while the real timer is being set; never called


_log = logging.getLogger(__name__)


class UserCodeWatch:
    """Log conditions, resolvers and other user code that has not returned after `timeout` seconds.

    Such code runs between turns on the engine's thread and cannot be abandoned; the log names it with its stack. The
    engine's thread calls `during`, the timers' thread calls `look`; each field is written by one assignment.
    """

    def __init__(self, timers: Timers, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._doing: tuple[str, float, int] | None = None
        self._told: tuple[str, float, int] | None = None
        self._job = None if timeout is None else PeriodicJob(timers, timeout / 2, self.look, "the watch of a simulation")

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Watch the block under the description `what`."""
        before = self._doing
        self._doing = (what, self._clock.monotonic(), threading.get_ident())
        try:
            yield
        finally:
            self._doing = before

    def look(self) -> None:
        """Log the current block once if it takes too long."""
        doing = self._doing
        if doing is None or doing is self._told or self._timeout is None:
            return
        what, since, thread = doing
        seconds = self._clock.monotonic() - since
        if seconds >= self._timeout:
            self._told = doing
            _log.error(
                "%s has not returned after %.3g s, and all agents wait for it; it is here:\n%s", what, seconds, stack_of(thread)
            )

    def close(self) -> None:
        """Stop watching."""
        if self._job is not None:
            self._job.close()
