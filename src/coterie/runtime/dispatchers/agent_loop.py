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
from contextvars import Context, ContextVar
from gc import get_referents
from sys import getrefcount
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import getweakrefcount

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

STEP_ENDED = object()
"""A sign that the first step of a coroutine was all of it."""


def _variables_are_shared() -> bool:
    """Return whether the copies of a context share the object with its variables, and show that by its number of references."""
    context, variable = Context(), ContextVar[None]("variable")
    context.run(variable.set, None)
    variables = get_referents(context)
    before = [getrefcount(each) for each in variables]
    copied = context.copy()
    return len(before) == 1 and len(copied) == 1 and before != [getrefcount(each) for each in variables]


TASKS_SHARED = STEPS_AT_ONCE and _TASKS_KEEP and _variables_are_shared()
"""Whether one task may do the first steps of several coroutines."""

_enter_task, _leave_task = asyncio.tasks._enter_task, asyncio.tasks._leave_task  # noqa: SLF001 - documented for other kinds of tasks
_register_task, _unregister_task = asyncio.tasks._register_task, asyncio.tasks._unregister_task  # noqa: SLF001 - as above


class Continuation(Coroutine[Any, Any, None]):
    """The coroutine of a spare task: the rest of another one, whose first step was done before the task begins."""

    __slots__ = ("_error", "_yielded", "work")

    def __init__(self) -> None:
        self.work: Generator[Any, Any, None] | None = None
        self._yielded: tuple[Any] | None = None
        self._error: BaseException | None = None

    def go_on(self, work: Generator[Any, Any, None], yielded: Any) -> None:
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
    that has left a trace at the task, or in its context variables, it is spare no more. To make a task, and to forget it,
    takes longer than such a step. `asyncio.all_tasks` knows it only while no other code of the agent can run.

    `steps` does the first steps: it is sent a coroutine, and yields `STEP_ENDED`, or what the coroutine yields.
    """

    __slots__ = (
        "_context",
        "_continuation",
        "_loop",
        "_name",
        "_parked",
        "_references",
        "_send",
        "_step",
        "_steps",
        "_variables",
        "_weak_references",
        "is_spare",
        "task",
    )

    def __init__(
        self, loop: AgentLoop, name: str, context: Context, steps: Generator[Any, Coroutine[Any, Any, Any], None]
    ) -> None:
        self._loop = loop
        self._name = name
        self._context = context
        self._steps = steps
        steps.send(None)  # type: ignore[arg-type] # as all generators begin
        self._send = steps.send
        self._continuation = Continuation()
        task, step = loop.make_task(self._continuation, name, context)
        assert step is not None
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio does for tasks that it leaves behind
        self._step = step
        self.task = task
        self.is_spare = True
        self._parked = False
        # Copies of a context, and those alone, share the object with its variables.
        (self._variables,) = get_referents(context)
        self._references = (0, 0)
        self._weak_references = getweakrefcount(task)
        if loop.spare is not None:
            loop.spare.forget()
        loop.spare = self

    def begin(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do the first step of a coroutine, and return whether it has ended; if not, the task goes on with it. Passes errors on."""
        task, loop = self.task, self._loop
        if self._parked:
            self._parked = False
            _register_task(task)
        _enter_task(loop, task)
        try:
            yielded = self._context.run(self._send, work)
        except BaseException:
            _leave_task(loop, task)
            self.end()
            raise
        _leave_task(loop, task)
        if yielded is STEP_ENDED:
            if not self._is_as_new(task):
                self.end()
            return True
        task._log_destroy_pending = True  # type: ignore[attr-defined]  # noqa: SLF001 - as every task
        self.is_spare = False
        loop.spare = None
        self._continuation.go_on(self._steps, yielded)
        self._context.run(self._step)
        return False

    def end(self) -> None:
        """End the task, as if the last coroutine had been its own."""
        self.is_spare = False
        self._loop.spare = None
        self._context.run(self._step)

    def park(self) -> None:
        """Hide the task, because other code may run before its next step; end it if other code knows it."""
        if self._parked:
            return
        task = self.task
        if self._is_as_new(task):
            self._parked = True
            _unregister_task(task)
        else:
            self.end()

    def forget(self) -> None:
        """Do no more first steps."""
        if self.is_spare:
            self.park()
            self.is_spare = False
            self._loop.spare = None

    def be_ready(self) -> None:
        """Count the references that there are. More of them, later, are traces."""
        task = self.task
        self._count_references(task)

    def _count_references(self, task: asyncio.Task[None]) -> None:
        # As `_is_as_new` finds them: one is of the caller, and one of the argument.
        self._references = (getrefcount(task), getrefcount(self._variables))

    def _is_as_new(self, task: Any) -> bool:
        """Return whether no code can tell that a coroutine has run in it."""
        return (
            (getrefcount(task), getrefcount(self._variables)) == self._references
            and getweakrefcount(task) == self._weak_references
            and task._callbacks is None  # noqa: SLF001 - see `_TASKS_KEEP`
            and not task._must_cancel  # noqa: SLF001 - as above
            and not task.cancelling()
            and task.get_name() is self._name
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
        if self.spare is not None:
            self.spare.park()
        events._set_running_loop(None)  # noqa: SLF001
        sys.set_asyncgen_hooks(*self._hooks)
        self._thread_id = None
