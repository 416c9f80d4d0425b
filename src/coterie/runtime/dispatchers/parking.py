"""A real asyncio event loop that gives its thread back where an ordinary one would block.

It drives `BaseEventLoop._run_once` itself and replaces the self-pipe by a call that asks for a thread, so it needs a few
private parts of asyncio: `PRIVATE` lists them, `supported` looks for them, and the tests check their behaviour for each
version of Python. It needs no file descriptor until its owner does input or output of its own.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio import events
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.dispatchers.poller import Poller
from coterie.runtime.dispatchers.resources import DispatcherResources

if TYPE_CHECKING:
    from collections import deque

    from _typeshed import FileDescriptorLike

PRIVATE = (
    "_asyncgen_finalizer_hook",
    "_asyncgen_firstiter_hook",
    "_close_self_pipe",
    "_make_self_pipe",
    "_process_events",
    "_run_once",
    "_write_to_self",
)
"""The private methods of asyncio's loop that are called or replaced here; and the attributes `_ready`, `_scheduled`,
`_stopping` and `_thread_id`."""


def supported() -> bool:
    """Return whether this interpreter and platform support parked loops."""
    base = asyncio.SelectorEventLoop
    return Poller.supported() and hasattr(events, "_set_running_loop") and all(hasattr(base, name) for name in PRIVATE)


class ParkingSelector(selectors.BaseSelector):
    """A selector that never blocks. Where it should, it says `parked`, and its loop returns the thread.

    The real selector beneath is made at the first registration, and handed to `opened`.
    """

    def __init__(self, opened: Callable[[int], None]) -> None:
        self.parked = False
        self._opened = opened
        self._real: selectors.EpollSelector | None = None

    @property
    def descriptor(self) -> int | None:
        """The file descriptor of the real selector, if there is one."""
        return self._real.fileno() if self._real is not None else None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready now; never wait."""
        events_: list[tuple[selectors.SelectorKey, int]] = self._real.select(0) if self._real is not None else []
        if not events_ and (timeout is None or timeout > 0):
            self.parked = True
        return events_

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a file."""
        if self._real is None:
            self._real = selectors.EpollSelector()
            self._opened(self._real.fileno())
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Watch a file no more."""
        if self._real is None:
            raise KeyError(fileobj)
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change what a file is watched for."""
        if self._real is None:
            raise KeyError(fileobj)
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """Return the watched files."""
        return self._real.get_map() if self._real is not None else {}

    def close(self) -> None:
        """Close the real selector."""
        if self._real is not None:
            self._real.close()
            self._real = None


class ParkingLoop(AgentLoop):
    """The event loop of a leased agent.

    `wake` asks for a thread, from any thread. `pump` uses the thread it is called on until nothing is ready. All else
    is as in any event loop, and has the same rules: only `call_soon_threadsafe` from other threads.
    """

    if TYPE_CHECKING:
        # What asyncio has and does not declare; see `PRIVATE`.
        _ready: deque[asyncio.Handle]
        _scheduled: list[asyncio.TimerHandle]
        _stopping: bool

        def _run_once(self) -> None: ...

    def __init__(self, resources: DispatcherResources, wake: Callable[[], None], poller: Poller) -> None:
        # The constructor already calls some of the methods below, which need these.
        self._wake = wake
        self._poller = poller
        self._parking = ParkingSelector(self._input_begins)
        self.input_ready = False
        """Whether the poller has seen something for this loop that it has not looked at yet."""
        self.interrupted = False
        """Whether `pump` should return after the step it is at."""
        self.steps = 0
        super().__init__(resources, self._parking)

    def pump(self, max_steps: int) -> None:
        """Run ready callbacks on this thread, for at most `max_steps` steps. Never blocks, never raises."""
        self.enter()
        try:
            self.interrupted = False
            self._parking.parked = False
            while max_steps > 0 and not self.interrupted:
                max_steps -= 1
                self.steps += 1
                self.input_ready = False
                try:
                    self._run_once()
                except BaseException as error:  # noqa: BLE001 - a callback raised SystemExit or the like; that ends nobody else
                    self.call_exception_handler({"message": "a callback raised", "exception": error})
                # The loop never runs forever, so stopping it has no meaning.
                self._stopping = False
                if self._parking.parked and not self._ready:
                    break
        finally:
            self.leave()

    @property
    def is_due(self) -> bool:
        """True if `pump` would find something to do."""
        return bool(self._ready) or self.input_ready or (bool(self._scheduled) and self.deadline <= self.time())

    @property
    def deadline(self) -> float:
        """The time of the loop's next timer, on the runtime's monotonic clock; infinite without timers."""
        return self._scheduled[0].when() if self._scheduled else float("inf")

    def rest(self) -> None:
        """Hand the watched files to the poller, because the thread is about to be given back."""
        descriptor = self._parking.descriptor
        if descriptor is not None:
            self._poller.arm(descriptor)

    def close(self) -> None:
        """Finish asynchronous generators, then close for good."""
        if self.is_closed():
            return
        if self._asyncgens:
            self.create_task(self.shutdown_asyncgens())
            self.pump(100)
        descriptor = self._parking.descriptor
        if descriptor is not None:
            self._poller.remove(descriptor)
        super().close()

    def __del__(self) -> None:
        """Do nothing, unlike other loops: a runtime that no code refers to any more still stops its agents, in their loops."""

    def _input_begins(self, descriptor: int) -> None:
        self._poller.add(descriptor, self._input_arrived)

    def _input_arrived(self) -> None:
        self.input_ready = True
        self._wake()

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._wake()

    def _process_events(self, event_list: list[tuple[selectors.SelectorKey, int]]) -> None:
        if event_list:
            super()._process_events(event_list)  # type: ignore[misc] # private, so the type checker does not know it
