"""The event loop of an agent, as far as both dispatchers share it: the runtime's clock, and tasks that begin at once."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import weakref
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from sys import getrefcount
from typing import TYPE_CHECKING, Any, TypeVar

from coterie.runtime.dispatchers.loops import LoopInbox
from coterie.runtime.dispatchers.resources import DispatcherResources

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")

STEPS_AT_ONCE = hasattr(events, "_set_running_loop") and all(
    hasattr(asyncio.SelectorEventLoop, name) for name in ("_asyncgen_finalizer_hook", "_asyncgen_firstiter_hook")
)
"""Whether this interpreter has what a first step outside of the loop's turns needs. Else the loop runs all steps."""


_TASKS_KEEP = all(hasattr(asyncio.Task, name) for name in ("_callbacks", "_log_destroy_pending", "_must_cancel"))
"""Whether this interpreter shows all traces that code may leave at its task."""


class Continuation(Coroutine[Any, Any, None]):
    """The coroutine of a spare task: the rest of another one, whose first step was done before the task begins."""

    __slots__ = ("_error", "_yielded", "work")

    def __init__(self) -> None:
        self.work: Coroutine[Any, Any, None] | None = None
        self._yielded: tuple[Any] | None = None
        self._error: BaseException | None = None

    def go_on(self, work: Coroutine[Any, Any, None], yielded: Any) -> None:
        """Go on with a coroutine that has yielded something."""
        self.work = work
        self._yielded = (yielded,)

    def send(self, value: Any) -> Any:
        """Return what the first step has yielded; from the second call on, do the next step."""
        if self._yielded is not None:
            (yielded,), self._yielded = self._yielded, None
            return yielded
        if self.work is None:
            # The first step was all.
            raise StopIteration
        if self._error is not None:
            error, self._error = self._error, None
            return self.work.throw(error)
        return self.work.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error in the coroutine."""
        cancelled = error[0] if isinstance(error[0], BaseException) else error[0]()
        if self.work is None:
            raise cancelled
        if self._yielded is None:
            return self.work.throw(cancelled)
        # The first step has cancelled its own task: then a task cancels what that step awaits, or else raises in the next one.
        (yielded,), self._yielded = self._yielded, None
        if not getattr(yielded, "_asyncio_future_blocking", False) or not yielded.cancel(*cancelled.args):
            self._error = cancelled
        return yielded

    def close(self) -> None:
        """End the coroutine."""
        if self.work is not None:
            self.work.close()

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("only its task awaits it")

    def __getattr__(self, name: str) -> Any:
        # The code, the frame and the name of the coroutine, for those who look at its task.
        if name in Continuation.__slots__:
            raise AttributeError(name)
        return getattr(self.work, name)


class SpareTask:
    """A task that does the first steps of several coroutines, one after another, as long as each ends with it.

    Each of them sees a task of its own, because this one goes on only with a coroutine that did not end; and after a coroutine
    that has left a trace at the task, or in its context variables, another spare one is made. To make a task, and to forget it,
    takes longer than such a step.
    """

    __slots__ = ("_context", "_continuation", "_loop", "_name", "_references", "_step", "task")

    def __init__(self, loop: AgentLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._context = Context()
        self._continuation = Continuation()
        task, step = loop.make_task(self._continuation, name, self._context)
        assert step is not None
        self._step = step
        self.task = task
        self._references = self._references_to(task)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the first step of a coroutine; if that does not end it, the task goes on with it, and is spare no more."""
        task, loop, context = self.task, self._loop, self._context
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001 - documented for other kinds of tasks
        try:
            yielded = context.run(work.send, None)
        except StopIteration:
            asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - as above
            if not self._is_as_new(task):
                self.end()
            return
        except BaseException:
            asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - as above
            self.end()
            raise
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - as above
        loop.spare = None
        self._continuation.go_on(work, yielded)
        context.run(self._step)

    def end(self) -> None:
        """End the task, as if the last coroutine had been its own."""
        self._loop.spare = None
        self._context.run(self._step)

    def forget(self) -> None:
        """Forget the task, or end it if other code knows it."""
        task = self.task
        if self._is_as_new(task):
            self._loop.spare = None
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio does for tasks that it leaves behind
        else:
            self.end()

    def _references_to(self, task: asyncio.Task[None]) -> int:
        """Return the number of references to the task, as `_is_as_new` finds it, with one of the caller and of the argument."""
        return getrefcount(task)

    def _is_as_new(self, task: Any) -> bool:
        """Return whether no code can tell that a coroutine has run in it."""
        return (
            getrefcount(task) == self._references
            and weakref.getweakrefcount(task) == 1  # that of `asyncio.all_tasks`
            and task._callbacks is None  # noqa: SLF001 - see `_TASKS_KEEP`
            and not task._must_cancel  # noqa: SLF001 - as above
            and not task.cancelling()
            and task.get_name() is self._name
            and len(self._context) == 1  # the invocation
        )


class AgentLoop(asyncio.SelectorEventLoop):
    """An event loop on the runtime's clock, with the runtime's threads for code that blocks.

    Its owner may run the first step of a task at once, while the loop itself does not run: what ends without waiting then
    needs no turn of the loop. Only `call_soon_threadsafe` is for other threads.
    """

    if TYPE_CHECKING:
        # What asyncio has and does not declare.
        _asyncgens: weakref.WeakSet[Any]
        _thread_id: int | None

        def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None: ...
        def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None: ...

    def __init__(self, resources: DispatcherResources, selector: selectors.BaseSelector) -> None:
        # asyncio's constructor already calls some of the methods below, which need these.
        self._resources = resources
        self._context_of_task: Context | None = None
        self._first_step: Callable[[], object] | None = None
        self._begun = False
        """Whether a task has begun since `enter`."""
        self.spare: SpareTask | None = None
        super().__init__(selector)
        self.coterie_inbox = LoopInbox(self)

    def time(self) -> float:
        """Return the runtime's monotonic time."""
        return self._resources.clock.monotonic()

    def run_in_executor(  # type: ignore[override] # the types of `args` are of no interest here
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function in `executor`, by default on the runtime's threads."""
        return super().run_in_executor(executor or self._resources.blocking, func, *args)

    def make_task(
        self, work: Coroutine[Any, Any, T], name: str, context: Context
    ) -> tuple[asyncio.Task[T], Callable[[], object] | None]:
        """Return a new task and its first step, which the caller must run at once in `context`, between `enter` and `leave`.

        The context must be a new one. Without a step, the task begins in the loop's next turn, as any other.
        """
        if not STEPS_AT_ONCE:
            return asyncio.Task(work, loop=self, name=name, context=context), None
        self._context_of_task = context
        # A task hands its first step to this method of its loop. A method of the class would slow all other calls.
        self.call_soon = self._keep_first_step  # type: ignore[method-assign,assignment] # for the next line
        try:
            task = asyncio.Task(work, loop=self, name=name, context=context)
        finally:
            del self.call_soon
        step, self._first_step, self._context_of_task = self._first_step, None, None
        return task, step

    def _keep_first_step(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle | None:
        if context is not self._context_of_task or args:
            # A finalizer runs in between.
            return super().call_soon(callback, *args, context=context)
        self._first_step = callback
        return None

    def spare_task(self, name: str) -> SpareTask | None:
        """Return a task for a first step, between `enter` and `leave`; None for the first of them, which has a task of its own.

        `asyncio.all_tasks` knows a spare task, so it is kept only while no other code of the agent can run.
        """
        if self.spare is None:
            if not self._begun or not STEPS_AT_ONCE or not _TASKS_KEEP:
                self._begun = True
                return None
            self.spare = SpareTask(self, name)
        return self.spare

    def enter(self) -> None:
        """Make this the running loop of the thread, until `leave`. Only on the loop's thread, while it does not run.

        Does nothing where the loop runs all steps.
        """
        if not STEPS_AT_ONCE:
            return
        self._hooks = sys.get_asyncgen_hooks()
        self._thread_id = threading.get_ident()
        sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
        events._set_running_loop(self)  # noqa: SLF001

    def leave(self) -> None:
        """Be the running loop no longer."""
        if not STEPS_AT_ONCE:
            return
        self._begun = False
        if self.spare is not None:
            self.spare.forget()
        events._set_running_loop(None)  # noqa: SLF001
        sys.set_asyncgen_hooks(*self._hooks)
        self._thread_id = None
