"""The health of agents, and the detection of stalled ones."""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable, Iterable

import msgspec

from coterie.concurrency import PROCESS_THREADS, PeriodicJob, Timers
from coterie.concurrency.budget import ABANDONED_VARIABLE
from coterie.concurrency.threads import stack_of
from coterie.kernel import Clock
from coterie.messaging import Message
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Phase, Suspension
from coterie.runtime.references.lifecycle_events import AgentRecovered, AgentStalled


class AgentState(enum.StrEnum):
    """The state of an agent."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    """Its thread is in a handler, or it has messages and is about to get a thread."""
    WAITING = "waiting"
    """A handler awaits something, or blocks in the wait for a reply."""
    STALLED = "stalled"
    """It has held its thread longer than the runtime's `stall_after` seconds."""
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


class AgentHealth(msgspec.Struct, frozen=True):
    """The health of one agent at one moment."""

    name: str
    state: AgentState
    paused: bool
    heartbeat: float
    """Seconds since its thread last began a turn; 0 while it is idle."""
    queued: int
    handled: int
    failed: int
    restarts: int
    last_error: str
    stalled_for: float
    """Seconds for which it is known to have held its thread; 0 unless it is stalled."""
    stack: str
    """The stack of its thread if it is stalled."""
    waits_for_thread: bool = False
    """Whether it has something to do, and no thread is free for it."""
    parent: str = ""
    """The name of the agent that supervises it; empty if the runtime does."""
    acts_for: str = ""
    """The name of the agent whose work it does now, if it does the work of others."""


def acts_for(cell: AgentCell) -> str:
    """Return the name of the agent whose work an agent of the library does now; empty if it does its own."""
    incarnation = cell.incarnation
    return str(getattr(incarnation.agent, "_coterie_acts_for", "")) if incarnation is not None else ""


class AgentHealthMonitor:
    """Monitors the agents that are on a thread, on the clock of the runtime.

    `on_threads` returns the agents that hold a thread; `publish` sends an event to the topic `AGENTS`; `give_up` takes the
    thread from a stalled agent whose policy says so. Only the timers'
    thread touches the state that is kept between two looks. An agent counts as stalled once it was
    seen in the same handler, or the same step of its event loop, for `stall_after` seconds; looks are taken four times
    in that span.
    """

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        stall_after: float,
        on_threads: Callable[[], Iterable[AgentCell]],
        publish: Callable[[Message], object],
        give_up: Callable[[AgentCell, BaseException], object],
    ) -> None:
        self.stall_after = stall_after
        self._clock = clock
        self._on_threads = on_threads
        self._publish = publish
        self._give_up = give_up
        self._seen: dict[AgentCell, tuple[object, float]] = {}
        monitor = weakref.ref(self)

        def look() -> None:
            # The timers do not keep a runtime alive that no other code refers to.
            alive = monitor()
            if alive is not None:
                alive._look()  # noqa: SLF001 - its own

        self._job = PeriodicJob(timers, stall_after / 4, look, "health")

    def close(self) -> None:
        """Stop monitoring."""
        self._job.close()

    def examine(self, cell: AgentCell) -> AgentHealth:
        """Return the health of an agent. From any thread."""
        state = self._state(cell)
        parent = cell.supervision_group.parent
        busy = state in (AgentState.BUSY, AgentState.WAITING, AgentState.STALLED)
        return AgentHealth(
            name=cell.name,
            state=state,
            paused=cell.is_held(Suspension.PAUSED),
            heartbeat=max(0.0, cell.now() - cell.last_beat) if busy else 0.0,
            queued=len(cell.mailbox),
            handled=cell.outcomes.handled,
            failed=cell.outcomes.failed,
            restarts=cell.restarts,
            last_error=cell.last_error,
            stalled_for=cell.stalled_for,
            stack=stack_of(cell.executor.thread_id) if cell.stalled_for else "",
            waits_for_thread=cell.executor.queued,
            parent=parent.name if parent is not None else "",
            acts_for=acts_for(cell),
        )

    def _state(self, cell: AgentCell) -> AgentState:
        phase = cell.life.phase
        incarnation = cell.incarnation
        if cell.stalled_for and not cell.life.ended:
            return AgentState.STALLED
        if phase not in (Phase.RUNNING, Phase.STOPPING):
            return AgentState(phase.value)
        if cell.blocking or (incarnation is not None and not incarnation.is_quiet and not cell.executor.busy):
            return AgentState.WAITING
        if cell.executor.busy or (len(cell.mailbox) and not cell.is_held(Suspension.PAUSED)):
            return AgentState.BUSY
        return AgentState.IDLE

    def _look(self) -> None:
        now = self._clock.monotonic()
        seen: dict[AgentCell, tuple[object, float]] = {}
        for cell in self._on_threads():
            if not cell.executor.busy or cell.successor is not None:
                continue
            progress = cell.progress
            before = self._seen.get(cell)
            since = before[1] if before is not None and before[0] == progress else now
            seen[cell] = (progress, since)
            if now - since >= self.stall_after:
                self._stalled(cell, now - since)
        for cell in self._seen:
            if cell.stalled_for and cell.successor is None and (cell not in seen or seen[cell][1] == now):
                self._recovered(cell)
        self._seen = seen

    def _stalled(self, cell: AgentCell, seconds: float) -> None:
        first = not cell.stalled_for
        cell.stalled_for = seconds
        if first:
            stack = stack_of(cell.executor.thread_id)
            other = acts_for(cell)
            cell.log.warning("has held its thread for %.1f s%s, in\n%s", seconds, f", for {other}" if other else "", stack)
            self._publish(AgentStalled(cell.reference, seconds, stack))
        # A knowing wait, for a reply or for room, has a time limit of its own.
        if cell.supervision_group.policy_of(cell).on_stall != "replace" or cell.blocking:
            return
        if not PROCESS_THREADS.may_abandon:
            if first:
                limit = PROCESS_THREADS.abandoned_limit
                cell.log.error("is not replaced: the process has abandoned %d threads (%s)", limit, ABANDONED_VARIABLE)
        else:
            self._give_up(cell, TimeoutError(f"it held its thread for {seconds:.1f} s, and was given up"))

    def _recovered(self, cell: AgentCell) -> None:
        seconds, cell.stalled_for = cell.stalled_for, 0.0
        cell.log.warning("goes on after it was stalled for about %.1f s", seconds)
        self._publish(AgentRecovered(cell.reference, seconds))
