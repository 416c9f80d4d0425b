"""The end of a runtime: drained, in order, and in time."""

from __future__ import annotations

import logging
import threading

import msgspec

from coterie.concurrency import Signal
from coterie.concurrency.threads import stack_of
from coterie.kernel import Countdown
from coterie.kernel.clock import DrivenClock
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Suspension
from coterie.runtime.observation import inspection
from coterie.runtime.observation.quiescence import Activity, Quiescence
from coterie.runtime.services import Services

_log = logging.getLogger(__name__)

_LAST_CALL = 1.0
"""Seconds, at most, for handlers to be cancelled once the time for stopping is over."""
_THREADS = 2.0
"""Seconds that threads which run no agent get to end."""


class StuckAgent(msgspec.Struct, frozen=True):
    """An agent that did not stop, because its thread is stuck in user code."""

    name: str
    thread: str
    stack: str


class StopReport(msgspec.Struct, frozen=True):
    """The report of the stop of a runtime."""

    drained: bool
    """Whether all sent messages were handled first."""
    stuck: tuple[StuckAgent, ...]
    """Agents that did not stop in time. Their threads are daemons: they do not keep the process from ending."""


class Shutdown:
    """Stops a runtime. Run once, by one thread."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, *, drain: bool, timeout: float) -> StopReport:
        """Stop everything, and return the report."""
        services = self._services
        countdown = Countdown(timeout)
        services.stopping = True
        for cell in services.registry.cells():
            cell.mailbox.refuse_outsiders()
            if cell.is_held(Suspension.PAUSED):
                inspection.resume(cell)
        drained = drain and self._drain(countdown)
        services.close(Countdown(_LAST_CALL))
        self._stop_agents(drain=drain, countdown=countdown)
        stuck = [self._give_up(cell) for cell in services.registry.cells()]
        services.health.close()
        for scheduler in services.schedulers():
            scheduler.close(0.1 if stuck else _THREADS)
        services.node_link.close()
        services.timers.close()
        services.blocking.shutdown(wait=False, cancel_futures=True)
        for thread in services.blocking.join(0.1 if stuck else _THREADS):
            _log.error(
                "the thread %s is stuck in a blocking call and was given up, in\n%s", thread.name, stack_of(thread.ident)
            )
        return StopReport(drained, tuple(stuck))

    def _drain(self, countdown: Countdown) -> bool:
        """Wait until all agents have handled all their messages. Return whether they have."""
        # On a driven clock, agents may wait for a time that the driver no longer advances to.
        patient = not isinstance(self._services.clock, DrivenClock)
        return Quiescence(self._services.registry.cells).wait(countdown, through_waits=patient) is Activity.QUIET

    def _stop_agents(self, *, drain: bool, countdown: Countdown) -> None:
        supervision_group = self._services.supervision_group
        empty = Signal()
        supervision_group.stop_all(drain=drain, then=empty.set)
        left = countdown.left()
        assert left is not None
        if drain:
            if empty.wait(left):
                return
            supervision_group.stop_all(drain=False, then=empty.set)
            left = min(_LAST_CALL, max(0.1, left))
        empty.wait(left)

    def _give_up(self, cell: AgentCell) -> StuckAgent:
        ident = cell.executor.thread_id
        thread = next((each.name for each in threading.enumerate() if each.ident == ident), "no thread")
        stack = stack_of(ident)
        cell.log.error("did not stop and was given up; its thread %s is in\n%s", thread, stack)
        cell.mailbox.close()
        for envelope in cell.outcomes.count_leftovers():
            cell.outcomes.dead_letter(envelope)
        in_hand = cell.in_hand()
        cell.give_up(len(in_hand))
        for envelope in in_hand:
            if envelope.reply is not None:
                envelope.reply.fail(self._services.stopped_error(cell.name, envelope.message, None))
        return StuckAgent(cell.name, thread, stack)
