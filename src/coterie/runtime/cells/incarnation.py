"""One incarnation of an agent: the instance, its running handlers, tasks and timers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context as Variables
from contextvars import copy_context
from inspect import isawaitable
from logging import WARNING
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

from coterie.errors.general import SnapshotFailed, describe
from coterie.kernel.checkpoint import detach
from coterie.messaging.envelope import Envelope
from coterie.runtime.cells.incarnation_owner import IncarnationOwner
from coterie.runtime.cells.invocation_task import Done, HandlerTask, HookTask, InvocationTask
from coterie.runtime.cells.outcomes import concerns_message
from coterie.runtime.cells.states import Suspension
from coterie.runtime.definition.agent import Agent
from coterie.runtime.definition.handlers import Handler, nearest
from coterie.runtime.dispatchers.agent_loop import TASKS_SHARED, AgentLoop
from coterie.runtime.references.agent_timer import AgentTimer
from coterie.runtime.references.invocation import CURRENT, Invocation

P = ParamSpec("P")
T = TypeVar("T")

# For each message: to look a member of an enumeration up costs more than all else of a bit.
_EXCLUSIVE = Suspension.EXCLUSIVE
_BUSY = Suspension.BUSY


class Incarnation:
    """One incarnation of an agent, from its construction to its end or failure.

    All of it runs on the agent's thread; only `timers` is touched by another, by single operations of a dictionary.
    """

    __slots__ = (
        "_all_must_end",
        "_background",
        "_handler_tasks",
        "_idle",
        "_interleaved",
        "_other_tasks",
        "_sharing",
        "_variables",
        "agent",
        "began",
        "cell",
        "constructed",
        "exclusive",
        "tasks",
        "timers",
    )

    def __init__(self, cell: IncarnationOwner, agent: Agent, variables: Variables | None) -> None:
        self.cell = cell
        self._variables = None if variables is None else variables.copy()
        """The context variables of the constructor and the hooks: at first those of the caller of `spawn`. None for no variables."""
        if self._variables is not None:
            self._variables.run(CURRENT.set, CURRENT.get())
        self.agent = agent
        self.began = cell.now()
        """When this life began, on the runtime's monotonic clock."""
        self.constructed = False
        """Whether the constructor has returned."""
        self.exclusive: InvocationTask | None = None
        """The running hook, or ``async`` handler without `interleave`, that must end before the next message."""
        # Ordered sets that are dictionaries: an empty one is a third of an empty set, and most agents have nothing in them.
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """Background tasks."""
        self.timers: dict[AgentTimer, None] = {}
        """Its timers. The timers' thread removes those that are done."""
        self._handler_tasks: dict[InvocationTask, None] = {}
        self._other_tasks: dict[asyncio.Task[Any], None] = {}
        self._interleaved: dict[Handler, int] = {}
        self._sharing: HandlerTask | None = None
        """The invocation, with its task, for first steps of handlers."""
        self._all_must_end = False
        self._background: Invocation | None = None
        self._idle: Callable[[], None] | None = None

    @property
    def is_quiet(self) -> bool:
        """True if no ``async`` handler or hook runs."""
        return not self._handler_tasks

    @property
    def handler_tasks(self) -> list[InvocationTask]:
        """The ``async`` handlers and hooks that run."""
        return list(self._handler_tasks)

    def begin(self, handler: Handler, envelope: Envelope, work: Awaitable[Any], loop: AgentLoop) -> None:
        """Begin to handle a message with an ``async`` handler: its first step runs before this returns.

        Only in a loop that was entered and does not run.
        """
        envelope.begun = True
        if handler.interleave:
            self._interleaved[handler] = self._interleaved.get(handler, 0) + 1
        # Its ask may have ended before the mark above could be seen.
        cancelled = envelope.reply is not None and envelope.reply.done
        shares = TASKS_SHARED and handler.alone <= 0 and envelope.context is None and not cancelled
        if shares and work.__class__ is CoroutineType:
            invocation = self._sharing
            if invocation is None or invocation.spare is not loop.spare or loop.spare is None:
                invocation = self._sharing = HandlerTask.sharing(self, handler, envelope, loop)
            self._handler_tasks[invocation] = None
            if invocation.begin(handler, envelope, work):
                # Nothing of the agent runs during a first step, so what ends with it holds up nothing.
                del self._handler_tasks[invocation]
                if handler.interleave:
                    self._interleaved[handler] -= 1
                invocation.end_at_once()
                if self._idle is not None:
                    self.look_if_idle()
                return
        else:
            invocation = self._begin_alone(handler, envelope, work, loop, cancelled=cancelled)
        if not invocation.active:
            return
        if invocation.exclusive:
            self.exclusive = invocation
            self.cell.hold(_EXCLUSIVE)
        elif self._is_full(handler):
            self.cell.hold(_BUSY)

    def _begin_alone(
        self, handler: Handler, envelope: Envelope, work: Awaitable[Any], loop: AgentLoop, *, cancelled: bool
    ) -> HandlerTask:
        """Begin to handle a message in a task of its own, which is cancelled at once if its ask has ended."""
        if handler.alone > 0:
            handler.alone -= 1
        invocation = HandlerTask(self, handler, envelope)
        self._handler_tasks[invocation] = None
        context = envelope.context if envelope.context is not None else Variables()
        if cancelled:
            invocation.start(loop, work, context)
            invocation.cancel()
        else:
            invocation.start_now(loop, work, context)
        return invocation

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

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call code of the agent with the context variables that its constructor and hooks share."""
        variables = self._own_variables()
        try:
            return variables.run(function, *args, **kwargs)
        finally:
            # Those of most agents have nothing but the invocation, and need not be kept.
            self._variables = variables if len(variables) > 1 else None

    def _own_variables(self) -> Variables:
        if self._variables is not None:
            return self._variables
        variables = Variables()
        variables.run(CURRENT.set, CURRENT.get())
        return variables

    def perform(self, hook: Callable[[], Any], done: Done) -> None:
        """Run a hook, and call `done` with its exception, or None, when it has ended."""
        try:
            result = self.call(hook)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            done(error)
            return
        if isawaitable(result):
            # Hooks follow one another in callbacks of tasks, where no task can begin at once.
            hook_task = HookTask(self, done)
            self._handler_tasks[hook_task] = None
            self.exclusive = hook_task
            self.cell.hold(_EXCLUSIVE)
            hook_task.start(self.cell.loop(), result, self._own_variables().copy())
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
        self.tasks[task] = None
        task.add_done_callback(lambda task: self._task_ended(task, raises))
        return task

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task that was made without the context, by `asyncio.create_task`, when this incarnation ends."""
        self._other_tasks[task] = None
        task.add_done_callback(self._other_task_ended)

    def cancel_other_tasks(self) -> bool:
        """Cancel the tasks that were made without the context; return whether there are any. From now on `is_idle` counts them."""
        self._all_must_end = True
        for task in self._other_tasks:
            task.cancel()
        return bool(self._other_tasks)

    def _other_task_ended(self, task: asyncio.Task[Any]) -> None:
        self._other_tasks.pop(task, None)
        self.look_if_idle()

    def close_generators(self, then: Callable[[], None]) -> None:
        """Close the asynchronous generators that the agent has begun and not finished; call `then` when that is done."""
        task = asyncio.Task(self.cell.loop().shutdown_asyncgens(), loop=self.cell.loop())
        task.add_done_callback(lambda _: then())

    def cancel(self, envelope: Envelope) -> None:
        """Cancel the handler of a message, unless it is shielded or has ended."""
        for invocation in self._handler_tasks:
            if invocation.envelope is envelope:
                if not invocation.cancelled:
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
        if self._sharing is not None and self._sharing.spare is not None:
            self._sharing.spare.forget()
        self._sharing = None
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

    def finished(self, invocation: InvocationTask) -> None:
        """Handle that an ``async`` handler or hook has ended."""
        self._handler_tasks.pop(invocation, None)
        if invocation.exclusive:
            if self.exclusive is invocation:
                self.exclusive = None
                self.cell.release(_EXCLUSIVE)
            return
        if invocation.handler is not None:
            self._interleaved[invocation.handler] -= 1
            if self.cell.is_held(_BUSY) and not any(map(self._is_full, self._interleaved)):
                self.cell.release(_BUSY)
        if self.cell.life.draining:
            self.cell.executor.interrupt()

    def _task_ended(self, task: asyncio.Task[Any], raises: tuple[type[BaseException], ...]) -> None:
        self.tasks.pop(task, None)
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
