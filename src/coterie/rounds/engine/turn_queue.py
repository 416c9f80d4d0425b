"""Turn queues: plain turns of many agents, which one thread does one after another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any

import msgspec

from coterie.concurrency import Completion
from coterie.kernel import Clock, SystemClock
from coterie.messaging import Message
from coterie.rounds.engine.performer import Performer
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.engine.tokens import Token
from coterie.rounds.turn import Turn
from coterie.runtime import Agent, AgentRef, on
from coterie.runtime.dispatchers.base import AgentExecutor
from coterie.runtime.references.invocation import CURRENT, ActingAgent, Invocation
from coterie.runtime.references.waits import Waiter


class QueuedTurn(msgspec.Struct, eq=False):
    """A turn in a queue."""

    token: Token
    turn: Turn
    keep: bool
    performer: Performer
    number: int
    """The number of the agent's executors when the turn was given to the queue."""


class Unfinished(msgspec.Struct, eq=False):
    """A turn that a queue has begun, and whose result must be awaited on the event loop of its agent."""

    turn: QueuedTurn
    rest: Any
    began: float


class TurnQueue:
    """Turns of many agents that one thread does in their order.

    The engine's thread adds to `waiting` and takes from `done`; it also takes turns back out of `waiting`. The queue's thread takes
    from `waiting` and adds to `done`. Both are deques, whose operations are atomic; the queue's thread alone writes all other fields.
    Each turn runs in a context of its own, a copy of that of the engine, and sends messages in the name of its agent.
    """

    def __init__(self, inbox: Inbox, timeout: float | None, host_of: Callable[[QueuedTurn], AgentRef]) -> None:
        self.waiting: deque[QueuedTurn] = deque()
        self.done: deque[Report | Unfinished] = deque()
        self.host_of = host_of
        self._inbox = inbox
        self._timeout = timeout
        self.current: QueuedTurn | None = None
        """The turn that it does, or has done last."""
        self.since = 0.0
        """When it began that turn, on the world's monotonic clock."""
        self.native = 0
        """The system's number of its thread."""
        self.mean = 0.0
        """Seconds of processor time that a turn took when the queue ran last."""

    def __deepcopy__(self, memo: object) -> TurnQueue:
        return self

    def run(self, clock: Clock) -> None:
        """Do turns until none waits, and report this. On the queue's thread, in a handler."""
        handler = CURRENT.get()
        assert handler is not None
        self.native = threading.get_native_id()
        began = SystemClock.thread()
        invocation = Invocation(QueuedActor(handler.cell, self), exclusive=True)
        mark = CURRENT.set(invocation)
        turns = 0
        try:
            turns = self._do_turns(clock.monotonic)
        finally:
            CURRENT.reset(mark)
            invocation.active = False
            self.mean = (SystemClock.thread() - began) / max(1, turns)
            self._inbox.put(self)

    def _do_turns(self, monotonic: Callable[[], float]) -> int:
        waiting, done, timeout = self.waiting, self.done, self._timeout
        turns = 0
        now = self.since = monotonic()
        while True:
            try:
                each = waiting.popleft()
            except IndexError:
                return turns
            turn = each.turn
            if turn.over:
                continue
            turns += 1
            self.current, self.since, began = each, now, now
            context = copy_context()
            try:
                value = context.run(each.performer.begin, turn)
                if value is not None and isinstance(value, Awaitable):
                    done.append(Unfinished(each, value, began))
                    continue
                state = context.run(each.performer.keep) if each.keep else None
            except BaseException as error:  # noqa: BLE001 - it is reported, and forfeits the turn
                now = monotonic()
                done.append(Report(turn, error=error, began=began, ended=now))
                continue
            now = monotonic()
            late = timeout is not None and now - began >= timeout
            done.append(Report(turn, value, None, state, late, began, now))


class QueuedActor:
    """The agent whose turn a queue does, as asks and messages from the code of the turn see it."""

    def __init__(self, cell: ActingAgent, queue: TurnQueue) -> None:
        self._cell = cell
        self._queue = queue

    @property
    def name(self) -> str:
        """The name of the agent."""
        current = self._queue.current
        return self._cell.name if current is None else current.token.name

    @property
    def reference(self) -> AgentRef:
        """The reference of the agent's executor, which is spawned now if it is not there."""
        current = self._queue.current
        assert current is not None
        return self._queue.host_of(current)

    @property
    def executor(self) -> AgentExecutor:
        """The executor of the queue."""
        return self._cell.executor

    @property
    def waits_for(self) -> dict[Completion, Waiter]:
        """The agents that the queue waits for."""
        return self._cell.waits_for

    def blocked(self) -> AbstractContextManager[None]:
        """Mark that the code blocks its thread deliberately."""
        return self._cell.blocked()


class RunQueue(Message):
    """Do the turns of a queue."""

    queue: Any


class QueueRunner(Agent):
    """Gives a queue its thread."""

    records_spans = False

    def __init__(self) -> None:
        self._queue: TurnQueue | None = None

    @property
    def _coterie_acts_for(self) -> str:
        """The agent whose turn it does, for code that looks at a thread that is stuck."""
        queue = self._queue
        current = queue.current if queue is not None else None
        return current.token.name if current is not None else ""

    @on
    def run(self, message: RunQueue) -> None:
        """Do the turns of a queue until none waits."""
        self._queue = message.queue
        try:
            message.queue.run(self.context.runtime.clock)
        finally:
            self._queue = None
