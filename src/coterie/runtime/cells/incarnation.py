"""One incarnation of an agent: the instance, its running handlers, tasks and timers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context as Variables
from contextvars import copy_context
from inspect import isawaitable
from logging import WARNING
from typing import Any, Protocol, TypeVar

from coterie.errors.general import SnapshotFailed, describe
from coterie.kernel.checkpoint import detach
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.cells.metrics import TimesRecorder
from coterie.runtime.cells.outcomes import concerns_message
from coterie.runtime.cells.states import Suspension
from coterie.runtime.definition.agent import Agent
from coterie.runtime.definition.handlers import Handler, nearest
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.references.agent_timer import AgentTimer
from coterie.runtime.references.invocation import CURRENT, ActingAgent, Invocation, Outbox
from coterie.runtime.references.logs import AgentLog
from coterie.runtime.references.reply import Reply

T = TypeVar("T")
Done = Callable[[BaseException | None], None]
Ended = Callable[[Any, BaseException | None], None]


def _nothing(value: Any, error: BaseException | None) -> None:
    """Replace a callback that has been called, to release the objects that it held."""


class IncarnationLife(Protocol):
    """The life cycle that an incarnation is part of."""

    @property
    def draining(self) -> bool:
        """True if the agent stops as soon as its mailbox is empty."""
        ...

    def fail(self, error: BaseException, message: str = "") -> None:
        """Fail the agent."""
        ...


class IncarnationOwner(ActingAgent, Protocol):
    """The agent whose incarnation this is. All of it is called on the agent's thread."""

    kept: Any
    last_error: str

    @property
    def log(self) -> AgentLog:
        """Its log."""
        ...

    @property
    def spec(self) -> AgentSpec:
        """Its specification, with its handlers."""
        ...

    @property
    def incarnation(self) -> object:
        """The current incarnation, or None."""
        ...

    @property
    def life(self) -> IncarnationLife:
        """The life cycle."""
        ...

    @property
    def outcomes(self) -> TimesRecorder:
        """The counts of its messages."""
        ...

    def now(self) -> float:
        """Return the runtime's monotonic time."""
        ...

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the agent's event loop."""
        ...

    @property
    def outbox(self) -> Outbox | None:
        """The outbox of a durable agent's handler in hand."""
        ...

    def hold(self, reason: Suspension) -> None:
        """Take no messages until `release`."""
        ...

    def is_held(self, reason: Suspension) -> bool:
        """Return whether it takes no messages for this reason."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox."""
        ...

    def release(self, reason: Suspension) -> None:
        """Take messages again, unless there is another reason not to."""
        ...

    def handler_returned(self, envelope: Envelope | None, value: Any) -> None:
        """Handle the result of an ``async`` handler; without an envelope, the handler has postponed its message."""
        ...

    def handler_raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> None:
        """Handle the error of a handler."""
        ...


class HandlerTask(Invocation):
    """An ``async`` handler or hook, which runs as a task. It ends once, also if the task is cancelled or closed."""

    __slots__ = ("_ended", "_incarnation", "cancelled", "handler", "task")

    def __init__(self, incarnation: Incarnation, ended: Ended, *, exclusive: bool) -> None:
        super().__init__(incarnation.cell, exclusive=exclusive)
        self._incarnation = incarnation
        self._ended = ended
        self.handler: Handler | None = None
        """The handler; None for a hook."""
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

        # Not by the factory of the loop: this task has an owner.
        self.task = asyncio.Task(self._drive(work), loop=loop, context=context)
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
            self.outbox = None
            self._incarnation.finished(self)
            ended, self._ended = self._ended, _nothing
            ended(value, error)
            self._incarnation.look_if_idle()

    async def _drive(self, work: Awaitable[Any]) -> None:
        try:
            value = await work
            if hasattr(value.__class__, "__await__") and value.__class__ is not Reply:
                # The handler passes an awaitable on, which it did not await.
                value = await value
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            self.finish(None, error)
        else:
            self.finish(value, None)


class Incarnation:
    """One incarnation of an agent, from its construction to its end or failure.

    All of it runs on the agent's thread; only `timers` is touched by another, by single operations of a set.
    """

    __slots__ = (
        "_all_must_end",
        "_background",
        "_handler_tasks",
        "_idle",
        "_interleaved",
        "_other_tasks",
        "agent",
        "began",
        "cell",
        "constructed",
        "exclusive",
        "tasks",
        "timers",
        "variables",
    )

    def __init__(self, cell: IncarnationOwner, agent: Agent, variables: Variables) -> None:
        self.cell = cell
        self.variables = variables.copy()
        """The context variables of the constructor and the hooks: at first those of the caller of `spawn`."""
        self.variables.run(CURRENT.set, CURRENT.get())
        self.agent = agent
        self.began = cell.now()
        """When this life began, on the runtime's monotonic clock."""
        self.constructed = False
        """Whether the constructor has returned."""
        self.exclusive: HandlerTask | None = None
        """The running hook, or ``async`` handler without `interleave`, that must end before the next message."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """Background tasks."""
        self.timers: set[AgentTimer] = set()
        """Its timers. The timers' thread removes those that are done."""
        self._handler_tasks: set[HandlerTask] = set()
        self._other_tasks: set[asyncio.Task[Any]] = set()
        self._interleaved: dict[Handler, int] = {}
        self._all_must_end = False
        self._background: Invocation | None = None
        self._idle: Callable[[], None] | None = None

    @property
    def is_quiet(self) -> bool:
        """True if no ``async`` handler or hook runs."""
        return not self._handler_tasks

    @property
    def handler_tasks(self) -> list[HandlerTask]:
        """The ``async`` handlers and hooks that run."""
        return list(self._handler_tasks)

    def begin(self, handler: Handler, envelope: Envelope, work: Awaitable[Any]) -> None:
        """Begin to handle a message with an ``async`` handler."""
        cell = self.cell
        began = cell.now() if envelope.taken_at else 0.0

        def ended(value: Any, error: BaseException | None) -> None:
            if error is not None:
                cell.handler_raised(handler, envelope, error, cancelled=invocation.cancelled)
                return
            cell.handler_returned(invocation.envelope, value)
            if began:
                cell.outcomes.record_times(began - envelope.taken_at, cell.now() - began)

        invocation = HandlerTask(self, ended, exclusive=not handler.interleave)
        invocation.envelope, invocation.handler, invocation.outbox = envelope, handler, cell.outbox
        envelope.begun = True
        self._launch(invocation, work, envelope.context if envelope.context is not None else copy_context())
        if envelope.reply is not None and envelope.reply.done:
            invocation.cancel()
        if handler.interleave and self._is_full(handler):
            cell.hold(Suspension.BUSY)

    def _is_full(self, handler: Handler) -> bool:
        most = max(self.cell.mailbox.policy.capacity, 100) if handler.interleave is True else handler.interleave
        return self._interleaved.get(handler, 0) >= most

    def keep_state(self) -> None:
        """Keep a snapshot of the agent's state, for the next incarnation. If it raises, the agent has failed."""
        try:
            self.cell.kept = (detach(self.agent.snapshot()),)  # type: ignore[attr-defined] # an optional pair of methods
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            failure = SnapshotFailed(self.cell.name, "snapshot", error)
            failure.__cause__ = error
            self.cell.life.fail(failure)

    def perform(self, hook: Callable[[], Any], done: Done) -> None:
        """Run a hook, and call `done` with its exception, or None, when it has ended."""
        try:
            result = self.variables.run(hook)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            done(error)
            return
        if isawaitable(result):
            self._launch(HandlerTask(self, lambda _, error: done(error), exclusive=True), result, self.variables.copy())
        else:
            done(None)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handlers, until it or this incarnation ends.

        If it raises, the agent has failed, unless the error came from an ask, or is one that the handler which made the
        task may raise.
        """
        maker = CURRENT.get()
        handler = None
        if maker is not None and maker.envelope is not None and maker.cell is self.cell:
            handler = nearest(self.cell.spec.handlers, type(maker.envelope.message))
        raises = handler.raises if handler is not None else ()
        if self._background is None:
            self._background = Invocation(self.cell, exclusive=False)
        context = copy_context()
        context.run(CURRENT.set, self._background)
        task = asyncio.Task(work, loop=self.cell.loop(), context=context)
        self.tasks.add(task)
        task.add_done_callback(lambda task: self._task_ended(task, raises))
        return task

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task that was made without the context, by `asyncio.create_task`, when this incarnation ends."""
        self._other_tasks.add(task)
        task.add_done_callback(self._other_task_ended)

    def cancel_other_tasks(self) -> bool:
        """Cancel the tasks that were made without the context; return whether there are any. From now on `is_idle` counts them."""
        self._all_must_end = True
        for task in self._other_tasks:
            task.cancel()
        return bool(self._other_tasks)

    def _other_task_ended(self, task: asyncio.Task[Any]) -> None:
        self._other_tasks.discard(task)
        self.look_if_idle()

    def close_generators(self, then: Callable[[], None]) -> None:
        """Close the asynchronous generators that the agent has begun and not finished; call `then` when that is done."""
        task = asyncio.Task(self.cell.loop().shutdown_asyncgens(), loop=self.cell.loop())
        task.add_done_callback(lambda _: then())

    def cancel(self, envelope: Envelope) -> None:
        """Cancel the handler of a message, unless it is shielded or has ended."""
        for invocation in self._handler_tasks:
            if invocation.envelope is envelope:
                invocation.cancel()
                return

    def cancel_all(self) -> None:
        """Cancel handlers, hooks, timers and background tasks; shielded handlers run to their end."""
        for reminder in list(self.timers):
            reminder.cancel()
        for invocation in self._handler_tasks:
            invocation.cancel()
        for task in self.tasks:
            task.cancel()

    def abandon(self) -> None:
        """Abandon handlers that have not ended although they were cancelled: their outcomes no longer count."""
        self.cancel_all()
        for invocation in list(self._handler_tasks):
            invocation.cancelled = True
            if invocation.task is not None:
                # As asyncio does for tasks that it leaves behind: that has been reported already.
                invocation.task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
            invocation.finish(None, asyncio.CancelledError())

    @property
    def is_idle(self) -> bool:
        """True if no ``async`` handler, hook or background task runs."""
        return not (self._handler_tasks or self.tasks or (self._all_must_end and self._other_tasks))

    def when_idle(self, then: Callable[[], None]) -> None:
        """Call `then` once it is idle."""
        self._idle = then
        self.look_if_idle()

    def _launch(self, invocation: HandlerTask, work: Awaitable[Any], context: Variables) -> None:
        context.run(CURRENT.set, invocation)
        self._handler_tasks.add(invocation)
        if invocation.handler is not None and not invocation.exclusive:
            self._interleaved[invocation.handler] = self._interleaved.get(invocation.handler, 0) + 1
        if invocation.exclusive:
            self.exclusive = invocation
            self.cell.hold(Suspension.EXCLUSIVE)
        invocation.start(self.cell.loop(), work, context)

    def finished(self, invocation: HandlerTask) -> None:
        """Handle that an ``async`` handler or hook has ended."""
        self._handler_tasks.discard(invocation)
        if self.exclusive is invocation:
            self.exclusive = None
            self.cell.release(Suspension.EXCLUSIVE)
            return
        if invocation.handler is not None:
            self._interleaved[invocation.handler] -= 1
            if self.cell.is_held(Suspension.BUSY) and not any(map(self._is_full, self._interleaved)):
                self.cell.release(Suspension.BUSY)
        if self.cell.life.draining:
            self.cell.executor.interrupt()

    def _task_ended(self, task: asyncio.Task[Any], raises: tuple[type[BaseException], ...]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self.cell.incarnation is self:
            if concerns_message(error, raises):
                self.cell.last_error = describe(error)
                self.cell.log.limited(WARNING, "a background task ended with %s", describe(error))
            else:
                self.cell.life.fail(error, "a background task")
        self.look_if_idle()

    def look_if_idle(self) -> None:
        """Call the callback of `when_idle`, if it is idle now."""
        if self._idle is not None and self.is_idle:
            then, self._idle = self._idle, None
            then()
