"""The end of a runtime: drained, in order, and in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from coterie.concurrency import Signal
from coterie.errors import AgentStopped
from coterie.kernel import Clock, Countdown
from coterie.kernel.clock import DrivenClock
from coterie.messaging import Message
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.metrics import AgentMetrics
from coterie.runtime.cells.supervision_group import SupervisionGroup
from coterie.runtime.observation.endless import EndlessWork
from coterie.runtime.observation.inspection import stack_of_agent
from coterie.runtime.observation.quiescence import Activity, Quiescence, activity_of

_log = logging.getLogger(__name__)

_SHOWN = 8
"""Names in the log entry of a stop that takes long."""
_LAST_CALL = 1.0
"""Seconds, at most, for handlers to be cancelled once the time for stopping is over."""
_LOOK = 0.25
"""Seconds between two looks for agents that would go on for ever."""
_RESPONSE = 0.1
"""Seconds for agents whose thread is not stuck to take a turn."""
_THREADS = 2.0
"""Seconds that threads which run no agent get to end."""


class StuckAgent(msgspec.Struct, frozen=True):
    """An agent that did not stop, because its thread, or an await, is stuck in user code."""

    name: str
    thread: str
    stack: str
    """The stack of its thread, and of each handler and task that awaits, innermost call last."""


class StopReport(msgspec.Struct, frozen=True):
    """The report of the stop of a runtime."""

    drained: bool
    """Whether all sent messages were handled first."""
    stuck: tuple[StuckAgent, ...]
    """Agents that did not stop in time. Their threads are daemons: they do not keep the process from ending."""


def describe_loss(where: str, before: AgentMetrics, after: AgentMetrics, report: StopReport) -> str | None:
    """Return the messages that were lost between two counts of a runtime, and the stuck agents, as text; None without any."""
    lost = after.dead + after.cancelled - before.dead - before.cancelled
    if not lost and not report.stuck:
        return None
    return "; ".join([f"{where}: {lost} messages were not handled", *(f"{each.name} was stuck" for each in report.stuck)])


def log_remaining(node: str, names: list[str]) -> None:
    """Log the names of the agents that a stop waits for."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    _log.warning("%s still stops; not at rest yet: %s%s", node, ", ".join(names[:_SHOWN]) or "no agent", more)


class GivenUpAgents(Protocol):
    """The agents whose threads were taken from them."""

    def given_up(self) -> list[AgentCell]:
        """Return the records that others have taken over from, and whose threads have not returned."""


class ShutdownServices(Protocol):
    """The parts of a runtime that end with it, in this order: refuse, close, end."""

    def refuse_outsiders(self) -> None:
        """Accept no message from outside any more, and resume paused agents."""

    def close(self, countdown: Countdown) -> None:
        """Start no more agents."""

    @property
    def successions(self) -> GivenUpAgents:
        """The agents whose threads were taken from them."""

    def end_threads(self, patience: float) -> None:
        """End all threads, and wait `patience` seconds for those in user code."""

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""


class Shutdown:
    """Stops a runtime: its agents, living in `cells` and supervised by `root`, and its services. Run once, by one thread."""

    def __init__(
        self, cells: Callable[[], list[AgentCell]], root: SupervisionGroup, clock: Clock, services: ShutdownServices
    ) -> None:
        self._cells = cells
        self._root = root
        self._clock = clock
        self._services = services
        self._endless: set[AgentCell] = set()
        """Agents that only keep themselves busy, or each other, and so were stopped without draining."""

    def run(self, *, drain: bool, timeout: float) -> StopReport:
        """Stop everything, and return the report."""
        countdown = Countdown(timeout)
        self._services.refuse_outsiders()
        drained = drain and self._drain(countdown)
        self._services.close(Countdown(_LAST_CALL))
        if self._stop_agents(drain=drain, countdown=countdown):
            self._wait_for_late_agents(countdown)
        stuck = self._end_the_rest()
        self._services.end_threads(0.1 if stuck else _THREADS)
        return StopReport(drained, tuple(stuck))

    def _drain(self, countdown: Countdown) -> bool:
        """Wait until all agents have handled all their messages. Return whether they have."""
        # On a driven clock, agents may wait for a time that the driver no longer advances to.
        patient = not isinstance(self._clock, DrivenClock)
        quiescence, endless = Quiescence(self._cells), EndlessWork(self._cells, countdown.left() or 0.0)
        while True:
            look = Countdown(min(_LOOK, countdown.left() or 0.0))
            activity = quiescence.wait(look, through_waits=patient)
            if activity is Activity.QUIET:
                return not self._endless
            if countdown.over or not look.over or self._only_endless_are_left():
                return False
            for cell in endless.look():
                if cell not in self._endless:
                    self._endless.add(cell)
                    cell.log.warning(
                        "only keeps itself busy, alone or with others, while its runtime drains; it is stopped without draining"
                    )
                    cell.stop(drain=False)

    def _only_endless_are_left(self) -> bool:
        return bool(self._endless) and all(
            cell in self._endless or activity_of(cell) is Activity.QUIET for cell in self._cells()
        )

    def _stop_agents(self, *, drain: bool, countdown: Countdown) -> bool:
        """Stop the agents. Return whether they have ended in time."""
        empty = Signal()
        self._root.stop_all(drain=drain, then=empty.set)
        left = countdown.left()
        assert left is not None
        if drain:
            while left > 0.0 and not empty.wait(min(left, _LAST_CALL)):
                left = 0.0 if self._only_endless_are_left() else countdown.left() or 0.0
            if empty.done:
                return True
            self._root.stop_all(drain=False, then=empty.set)
            left = min(_LAST_CALL, max(0.1, left))
        return empty.wait(left)

    def _wait_for_late_agents(self, countdown: Countdown) -> None:
        """Wait for agents that came when the others had ended: the threads that start them were held up, or hooks start them."""
        pause = threading.Event()
        while self._cells() and not countdown.over:
            pause.wait(0.001)

    def _end_the_rest(self) -> list[StuckAgent]:
        """End the agents that are stuck, and return them. One that awaits something still runs `on_stop`."""
        cells = self._cells()
        stuck = [self._examine(cell) for cell in (*cells, *self._services.successions.given_up())]
        responses = [_cease_to_wait(cell) for cell in cells]
        # An agent that is stuck in code of its own does not respond.
        soon, countdown = Countdown(_RESPONSE), Countdown(_LAST_CALL)
        for cell, responded in zip(cells, responses, strict=True):
            if not (responded.wait(soon.left()) and cell.ended.wait(countdown.left())):
                self._give_up(cell)
        return stuck

    def _examine(self, cell: AgentCell) -> StuckAgent:
        ident = cell.executor.thread_id
        thread = next((each.name for each in threading.enumerate() if each.ident == ident), "no thread")
        stack = stack_of_agent(cell)
        where = f"; {'it' if ident is None else f'its thread {thread}'} is in\n{stack}" if stack else ", while it had no thread"
        cell.log.error("did not stop and was given up%s", where)
        return StuckAgent(cell.name, thread, stack)

    def _give_up(self, cell: AgentCell) -> None:
        cell.mailbox.close()
        for envelope in cell.outcomes.count_leftovers():
            cell.outcomes.dead_letter(envelope)
        in_hand = cell.in_hand()
        cell.given_up = True
        cell.outcomes = cell.outcomes.closed(len(in_hand))
        cell.ended.set()
        for envelope in in_hand:
            if envelope.reply is not None:
                envelope.reply.fail(self._services.stopped_error(cell.name, envelope.message, None))


def _cease_to_wait(cell: AgentCell) -> Signal:
    """Let an agent end without the tasks that do not end; the returned signal is set if it responds."""
    responded = Signal()

    def cease() -> None:
        cell.life.cease_to_wait()
        responded.set()

    cell.control(cease)
    return responded
