"""The tasks of ``async`` handlers and hooks."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context as Variables
from functools import partial
from sys import getrefcount
from types import coroutine
from typing import Any, Protocol

from coterie.messaging.envelope import Envelope
from coterie.runtime.cells.incarnation_owner import IncarnationOwner
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.dispatchers.agent_loop import STEP_ENDED, AgentLoop, SpareTask
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.reply import Reply

Done = Callable[[BaseException | None], None]


def _nothing(error: BaseException | None) -> None:
    """Replace a callback that has been called, to release the objects that it held."""


class TaskIncarnation(Protocol):
    """The incarnation that a task belongs to."""

    @property
    def cell(self) -> IncarnationOwner:
        """The agent."""
        ...

    def finished(self, invocation: InvocationTask) -> None:
        """Handle that an ``async`` handler or hook has ended."""
        ...

    def look_if_idle(self) -> None:
        """Call the callback that waits until it is idle, if it is."""
        ...


class InvocationTask(Invocation, ABC):
    """An ``async`` handler or hook, which runs as a task. It ends once, also if the task is cancelled or closed."""

    __slots__ = ("_began", "_handled", "_incarnation", "cancelled", "handler", "spare", "task")

    def __init__(self, incarnation: TaskIncarnation, handler: Handler | None, envelope: Envelope | None = None) -> None:
        # Without a call of another constructor, for there is one of these for each message.
        self.cell = cell = incarnation.cell
        self.exclusive = handler is None or not handler.interleave
        self.active = True
        self.envelope = self._handled = envelope
        self.outbox = None if envelope is None else cell.outbox
        self._began = cell.now() if envelope is not None and envelope.taken_at else 0.0
        self._incarnation = incarnation
        self.handler = handler
        """The handler; None for a hook."""
        self.spare: SpareTask | None = None
        """The task that does its first step, while that may do other ones too."""
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        """Whether the runtime has cancelled it."""

    def start(self, loop: asyncio.AbstractEventLoop, work: Awaitable[Any], context: Variables) -> None:
        """Run `work` as a task of the loop, from its next turn on."""
        # Not by the factory of the loop: this task has an owner.
        self.task = task = asyncio.Task(self._drive(work), loop=loop, name=self.cell.name, context=context)
        task.add_done_callback(partial(self._task_ended, work))

    def start_now(self, loop: AgentLoop, work: Awaitable[Any], context: Variables) -> None:
        """Run `work` as a task of the loop, and its first step at once. Only in a loop that was entered and does not run."""
        if loop.spare is not None:
            loop.spare.park()
        task, step = loop.make_task(self._drive(work), self.cell.name, context)
        self.task = task
        if step is not None:
            context.run(step)
        else:
            task.add_done_callback(partial(self._task_ended, work))

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
            # The task has a context that leads back here: without this line each message would leave a cycle.
            self.outbox = self.task = None
            incarnation = self._incarnation
            incarnation.finished(self)
            self._ended(value, error)
            incarnation.look_if_idle()

    @abstractmethod
    def _ended(self, value: Any, error: BaseException | None) -> None:
        """Handle the value or the error with which it ended."""

    def _task_ended(self, work: Awaitable[Any], _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never enters `_drive`.
        if self.active:
            if isinstance(work, Coroutine):
                work.close()
            self.finish(None, asyncio.CancelledError())

    async def _drive(self, work: Awaitable[Any]) -> None:
        CURRENT.set(self)
        try:
            value = await work
            if value is not None and hasattr(value.__class__, "__await__") and value.__class__ is not Reply:
                # The handler passes an awaitable on, which it did not await.
                value = await value
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            self.finish(None, error)
        else:
            self.finish(value, None)
        # The context may be that of the message, which leads back here: a cycle, as above.
        CURRENT.set(None)


class HandlerTask(InvocationTask):
    """An ``async`` handler that handles a message."""

    __slots__ = ("_value",)

    handler: Handler
    _handled: Envelope
    _value: Any

    @classmethod
    def sharing(cls, incarnation: TaskIncarnation, handler: Handler, envelope: Envelope, loop: AgentLoop) -> HandlerTask:
        """Return one for `begin`: it can handle several messages one after another, as long as their handlers do not wait."""
        invocation = cls(incarnation, handler, envelope)
        variables = Variables()
        variables.run(CURRENT.set, invocation)
        invocation.spare = spare = SpareTask(loop, invocation.cell.name, variables, invocation._drive_several())
        invocation.task = spare.task
        spare.be_ready()
        return invocation

    def begin(self, handler: Handler, envelope: Envelope, work: Coroutine[Any, Any, Any]) -> bool:
        """Begin to handle a message; return whether its handler has returned in its first step, so that `end_at_once` must follow.

        A handler that has left a trace, or is suspended, or has raised, is the last one of this invocation.
        """
        spare, cell = self.spare, self._incarnation.cell
        assert spare is not None
        self.exclusive = not handler.interleave
        self.active = True
        self.envelope = self._handled = envelope
        self.outbox = cell.outbox
        self._began = cell.now() if envelope.taken_at else 0.0
        self.handler = handler
        references = getrefcount(self)
        try:
            if not spare.begin(work):
                self.spare = None
                handler.spend()
                return False
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            self.spare = None
            handler.spend()
            self.finish(None, error)
            return False
        if spare.is_spare and getrefcount(self) != references:
            # A context that was copied from this one, and changed, leads here.
            spare.end()
        return True

    def end_at_once(self) -> None:
        """End a message whose handler has returned in its first step."""
        self.active = False
        self.outbox = None
        value, self._value = self._value, None
        self._ended(value, None)
        if self.spare is not None and self.spare.is_spare:
            self.handler.spent = 0
            # It rests without the message.
            self.envelope = self._handled = None  # type: ignore[assignment] # until `begin`
        else:
            self.handler.spend()
            # As in `finish`.
            self.spare = self.task = None

    @coroutine  # so that it may await by `yield from`
    def _drive_several(self) -> Generator[Any, Coroutine[Any, Any, Any], None]:
        work: Coroutine[Any, Any, Any] | None
        while True:
            work = yield STEP_ENDED
            try:
                value = yield from work
                if value is not None and hasattr(value.__class__, "__await__") and value.__class__ is not Reply:
                    value = yield from _result_of(value)
            except BaseException as error:
                if self.spare is not None:
                    raise
                self.finish(None, error)
                return
            if self.spare is None:
                self.finish(value, None)
                return
            self._value = value
            work = value = None

    def _ended(self, value: Any, error: BaseException | None) -> None:
        cell = self._incarnation.cell
        if error is not None:
            cell.handler_raised(self.handler, self._handled, error, cancelled=self.cancelled)
            return
        cell.handler_returned(self.envelope, value)
        if self._began:
            cell.outcomes.record_times(self._began - self._handled.taken_at, cell.now() - self._began)


async def _result_of(work: Awaitable[Any]) -> Any:
    return await work


class HookTask(InvocationTask):
    """An ``async`` hook, such as `on_start`."""

    __slots__ = ("_done",)

    def __init__(self, incarnation: TaskIncarnation, done: Done) -> None:
        super().__init__(incarnation, None)
        self._done = done

    def _ended(self, value: Any, error: BaseException | None) -> None:  # noqa: ARG002 - a hook has no value
        done, self._done = self._done, _nothing
        done(error)
