"""The limited wait of a life that ends, for its tasks and children."""

from __future__ import annotations

from collections.abc import Callable

from coterie.runtime.cells.await_stacks import await_stacks
from coterie.runtime.cells.lifecycle_owner import LifecycleOwner

_SECONDS = 5.0
"""Seconds that tasks and children get to end; then the life ends without them."""


class GracePeriod:
    """The waits of one agent, one at a time. Only the agent's thread uses it."""

    __slots__ = ("_cease", "_cell")

    def __init__(self, cell: LifecycleOwner) -> None:
        self._cell = cell
        self._cease: Callable[[], None] | None = None

    def wait(self, wait: Callable[[Callable[[], None]], object], resume: Callable[[], object], what: str) -> None:
        """Call `wait` with a callback, and `resume` once that was called, or when the time is over."""
        over = False

        def once(*, timed_out: bool) -> None:
            nonlocal over
            if not over:
                over = True
                self._cease = None
                timer.cancel()
                if timed_out:
                    stacks = await_stacks(self._cell.incarnation)
                    self._cell.log.error("did not wait any longer for %s to end\n%s", what, stacks)
                resume()

        control = self._cell.control
        self._cease = lambda: once(timed_out=True)
        timer = self._cell.services.timers.call_later(_SECONDS, lambda: control(lambda: once(timed_out=True)))
        wait(lambda: control(lambda: once(timed_out=False)))

    def end(self) -> None:
        """End the present wait, if there is one."""
        if self._cease is not None:
            self._cease()
