"""The event loop of an agent, as far as both dispatchers share it: the runtime's clock, and tasks that begin at once."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from coterie.runtime.dispatchers.loops import LoopInbox
from coterie.runtime.dispatchers.resources import DispatcherResources

if TYPE_CHECKING:
    import weakref
    from collections.abc import AsyncGenerator

T = TypeVar("T")

STEPS_AT_ONCE = hasattr(events, "_set_running_loop") and all(
    hasattr(asyncio.SelectorEventLoop, name) for name in ("_asyncgen_finalizer_hook", "_asyncgen_firstiter_hook")
)
"""Whether this interpreter has what a first step outside of the loop's turns needs. Else the loop runs all steps."""


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
        events._set_running_loop(None)  # noqa: SLF001
        sys.set_asyncgen_hooks(*self._hooks)
        self._thread_id = None
