"""A worker for the turns of agents whose engine is in another process."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from typing import Any, TypeAlias

from coterie.concurrency import AutoResetEvent, start_thread
from coterie.kernel import SystemClock
from coterie.rounds.engine.deadlines import Deadlines
from coterie.rounds.engine.executors import ExecutorPool
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.engine.tokens import Token
from coterie.rounds.engine.turn_queues import TurnQueues
from coterie.rounds.graph import Stage
from coterie.rounds.participant import Participant
from coterie.rounds.turn import Turn

_log = logging.getLogger(__name__)

_MOST = 128
"""Turns that have ended which are handed over together, at most."""
_FAREWELL = 12.0

Ends: TypeAlias = list[tuple[Any, Turn, Report]]
"""The keys of turns that have ended, with their reports."""


class TurnWorker:
    """Does turns of many agents as an engine does: each on a thread and an event loop of its agent, or plain ones in a turn queue.

    So a turn that waits or blocks holds up no other, and the limit of time counts as in an engine. `ended` is called with the turns
    that have ended since the last call, on the worker's thread. There, in functions given to `call`, `add`, `begin` and `drop` are called.
    """

    def __init__(self, name: str, timeout: float | None, ended: Callable[[Ends], object]) -> None:
        self._timeout = timeout
        self._tell = ended
        clock = SystemClock()
        self._inbox: Inbox = queue.SimpleQueue()
        self._participants: dict[str, Participant] = {}
        self._deadlines = Deadlines(clock, timeout, self._inbox)
        self._pool = ExecutorPool(self._participants, None, clock, self._inbox, self._deadlines.begin)
        self._queues = TurnQueues(self._pool, self._deadlines, self._inbox, clock, timeout)
        self._running: dict[int, tuple[Turn, Token, Any]] = {}
        self._closed = False
        self._rests = AutoResetEvent()
        """Set when no turn is running."""
        self._thread = start_thread(self._run, name)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the worker's thread. From any thread."""
        self._inbox.put(function)

    def close(self, patience: float) -> None:
        """Let the turns that run end, for so many seconds at most, and end all threads."""
        if self._running:
            self._rests.wait(patience)
        self._closed = True
        self.call(lambda: None)
        self._thread.join(_FAREWELL)

    # On the worker's thread.

    def add(self, participant: Participant, number: int, state: bytes | None) -> Token:
        """Take an agent, with a state to restore; the number makes its name unique. Return its token."""
        name = participant.name if participant.name not in self._participants else f"{participant.name}~{number}"
        self._participants[name] = participant
        return Token(name, latest=state)

    def begin(self, token: Token, turn: Turn, stage: Stage, key: Any) -> None:
        """Begin a turn of an agent. Its report has the state of the agent, if that keeps one."""
        participant = self._participants[token.name]
        self._running[id(turn)] = turn, token, key
        keep = participant.keeps_state
        if self._queues.takes(stage, participant, turn.round):
            self._queues.add(token, turn, keep=keep)
        else:
            self._pool.act(token, turn, keep=keep)
            self._begin_if_starved(turn)

    def drop(self, token: Token) -> None:
        """End an agent, and the turn that it does."""
        for turn in [turn for turn, of, _ in self._running.values() if of is token]:
            del self._running[id(turn)]
            turn.forfeit("it was given up")
            turn.over = True
        self._pool.end(token)
        self._participants.pop(token.name, None)

    def _run(self) -> None:
        try:
            while not self._closed:
                try:
                    self._step()
                except Exception:  # noqa: BLE001 - it is logged: without this thread no turn of the simulation would end here
                    _log.exception("a step of a worker for turns raised")
        finally:
            self._deadlines.close()
            self._queues.close()
            self._pool.close()

    def _step(self) -> None:
        """Handle what has come, and tell which turns have ended."""
        ends: Ends = []
        try:
            for item in self._queues.heard():
                if isinstance(item, Report):
                    self._hear(item, ends)
                else:
                    item()
                if len(ends) >= _MOST:
                    break
        finally:
            if not self._running:
                self._rests.set()
            if ends:
                self._tell(ends)

    def _hear(self, report: Report, ends: Ends) -> None:
        turn = report.turn
        found = self._running.get(id(turn))
        if found is None or (report.late and not self._pool.stuck and self._deadlines.extend(turn)):
            # It was given up before, or gets the time back for which it waited for a thread.
            return
        del self._running[id(turn)]
        turn.over = True
        self._deadlines.ended(turn)
        if report.late:
            turn.forfeit(f"it took longer than {self._timeout:g} s")
            self._pool.rebuild(found[1], stuck=True)
            self._queues.give_up(turn)
            for waiting, _, _ in self._running.values():
                self._begin_if_starved(waiting)
        ends.append((found[2], turn, report))

    def _begin_if_starved(self, turn: Turn) -> None:
        if self._pool.stuck and turn.due is None:
            self._deadlines.begin(turn)
