"""One life of an agent: the instance, what it is doing, and what ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context as Variables
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar

from coterie.runtime.activation import CURRENT, Activation
from coterie.runtime.hold import Hold

if TYPE_CHECKING:
    from coterie.messaging import Envelope
    from coterie.runtime.agent import Agent
    from coterie.runtime.agent_timer import AgentTimer
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.handlers import Handler

T = TypeVar("T")
Done = Callable[[BaseException | None], None]
Ended = Callable[[Any, BaseException | None], None]


def _nothing(value: Any, error: BaseException | None) -> None:
    """Stand for a callback that has been called, so that what it held is let go."""


class UnderWay(Activation):
    """An ``async`` handler or hook, which runs as a task. It ends once, whatever becomes of the task."""

    __slots__ = ("_ended", "_incarnation", "cancelled", "task")

    def __init__(self, incarnation: Incarnation, ended: Ended, *, exclusive: bool) -> None:
        super().__init__(incarnation.cell, exclusive=exclusive)
        self._incarnation = incarnation
        self._ended = ended
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        """Whether the runtime has cancelled it."""

    def start(self, loop: asyncio.AbstractEventLoop, work: Awaitable[Any], context: Variables) -> None:
        """Run `work` as a task of the loop."""

        def abandoned(_: asyncio.Task[None]) -> None:
            # A task that is cancelled before its first step never enters `_drive`.
            if self.active:
                if isinstance(work, Coroutine):
                    work.close()
                self.finish(None, asyncio.CancelledError())

        self.task = loop.create_task(self._drive(work), context=context)
        self.task.add_done_callback(abandoned)

    def cancel(self) -> None:
        """Cancel the task, unless the handler is shielded."""
        if self.handler is None or not self.handler.shield:
            self.cancelled = True
            if self.task is not None:
                self.task.cancel()

    def finish(self, value: Any, error: BaseException | None) -> None:
        """End it with a value or an error. Only the first call counts."""
        if self.active:
            self.active = False
            self._incarnation.over(self)
            ended, self._ended = self._ended, _nothing
            ended(value, error)
            self._incarnation.look_if_idle()

    async def _drive(self, work: Awaitable[Any]) -> None:
        try:
            value = await work
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            self.finish(None, error)
        else:
            self.finish(value, None)


class Incarnation:
    """From one building of an agent to the end, or to the failure, of what was built.

    All of it runs on the agent's thread; only `reminders` is touched by another, by single operations of a set.
    """

    __slots__ = ("_background", "_idle", "_under_way", "agent", "cell", "constructed", "exclusive", "reminders", "tasks")

    def __init__(self, cell: AgentCell, agent: Agent) -> None:
        self.cell = cell
        self.agent = agent
        self.constructed = False
        """Whether the constructor has returned."""
        self.exclusive: UnderWay | None = None
        """What keeps the agent from its next message: an ``async`` handler that is not interleaving, or a hook."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """Background tasks."""
        self.reminders: set[AgentTimer] = set()
        """Messages to itself that are due later. The timers' thread removes those that are done."""
        self._under_way: set[UnderWay] = set()
        self._background: Activation | None = None
        self._idle: Callable[[], None] | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether no ``async`` handler or hook is under way."""
        return not self._under_way

    @property
    def under_way(self) -> list[UnderWay]:
        """The ``async`` handlers and hooks that are under way."""
        return list(self._under_way)

    def begin(self, handler: Handler, envelope: Envelope, work: Awaitable[Any]) -> None:
        """Begin to handle a message with an ``async`` handler."""
        cell = self.cell
        began = cell.now() if envelope.taken_at else 0.0

        def ended(value: Any, error: BaseException | None) -> None:
            if error is not None:
                cell.handler_raised(handler, envelope, error, cancelled=activation.cancelled)
                return
            cell.handler_returned(envelope, value)
            if began:
                cell.outcomes.record_times(began - envelope.taken_at, cell.now() - began)

        activation = UnderWay(self, ended, exclusive=not handler.interleave)
        activation.envelope = envelope
        activation.handler = handler
        self._launch(activation, work)

    def perform(self, hook: Callable[[], Any], done: Done) -> None:
        """Run a hook, and call `done` with what it raised, or None, when it has ended."""
        try:
            result = hook()
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            done(error)
            return
        if isawaitable(result):
            self._launch(UnderWay(self, lambda _, error: done(error), exclusive=True), result)
        else:
            done(None)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handlers, until it ends or this life does. If it raises, the agent has failed."""
        if self._background is None:
            self._background = Activation(self.cell, exclusive=False)
        context = copy_context()
        context.run(CURRENT.set, self._background)
        task = self.cell.loop().create_task(work, context=context)
        self.tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def cancel(self, envelope: Envelope) -> None:
        """Cancel the handler of a message, unless it is shielded or has ended."""
        for activation in self._under_way:
            if activation.envelope is envelope:
                activation.cancel()
                return

    def cancel_all(self) -> None:
        """Cancel all that is under way, and the background tasks; shielded handlers run to their end."""
        for reminder in list(self.reminders):
            reminder.cancel()
        for activation in self._under_way:
            activation.cancel()
        for task in self.tasks:
            task.cancel()

    def abandon(self) -> None:
        """Leave behind what has not ended although it was cancelled: what it still does no longer counts."""
        self.cancel_all()
        for activation in list(self._under_way):
            activation.cancelled = True
            activation.finish(None, asyncio.CancelledError())

    @property
    def is_idle(self) -> bool:
        """Whether neither handlers nor hooks nor background tasks are under way."""
        return not self._under_way and not self.tasks

    def when_idle(self, then: Callable[[], None]) -> None:
        """Call `then` once it is idle."""
        self._idle = then
        self.look_if_idle()

    def _launch(self, activation: UnderWay, work: Awaitable[Any]) -> None:
        context = copy_context()
        context.run(CURRENT.set, activation)
        self._under_way.add(activation)
        if activation.exclusive:
            self.exclusive = activation
            self.cell.hold(Hold.EXCLUSIVE)
        activation.start(self.cell.loop(), work, context)

    def over(self, activation: UnderWay) -> None:
        """Be told that an ``async`` handler or hook has ended."""
        self._under_way.discard(activation)
        if self.exclusive is activation:
            self.exclusive = None
            self.cell.release(Hold.EXCLUSIVE)
        elif self.cell.life.draining:
            self.cell.seat.interrupt()

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self.cell.incarnation is self:
            self.cell.life.fail(error, "a background task")
        self.look_if_idle()

    def look_if_idle(self) -> None:
        """Call what waits for it to be idle, if it is now."""
        if self._idle is not None and self.is_idle:
            then, self._idle = self._idle, None
            then()
