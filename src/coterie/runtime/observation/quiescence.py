"""Detection of quiescence: no agent of a runtime has anything to do."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable

from coterie.kernel import Countdown
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Phase, Suspension

_LOOKS = 3
"""Consecutive looks that must find agents waiting, and none at work, before that counts."""


class Activity(enum.Enum):
    """The activity of all agents together."""

    QUIET = enum.auto()
    """No agent has anything to do."""
    WAITING = enum.auto()
    """No agent is at work, but some handler awaits something."""
    WORKING = enum.auto()
    """Some agent is at work, or has messages to handle."""


class Quiescence:
    """Detects when all agents have handled all messages, including those that followed from them.

    An agent that was examined already may send a message to one that was examined before it. Only consecutive looks that find
    no agent at work, with no message handled or sent in between, prove quiescence (after Mattern, "Algorithms for distributed
    termination detection", 1987).
    """

    def __init__(self, cells: Callable[[], list[AgentCell]]) -> None:
        self._cells = cells

    def wait(self, countdown: Countdown, *, through_waits: bool) -> Activity:
        """Wait until no agent is active, or, unless `through_waits`, until all active agents merely wait.

        Return the activity that was found, or the latest one if the time ran out before.
        """
        pause = threading.Event()
        before: object = None
        same = 0
        while True:
            activity, marks = self._look()
            same = same + 1 if marks == before else 0
            before = marks
            if activity is Activity.QUIET and same:
                return activity
            if activity is Activity.WAITING and same >= _LOOKS and not through_waits:
                return activity
            if countdown.over:
                return activity
            pause.wait(0.0005 if activity is Activity.QUIET else 0.002)

    def _look(self) -> tuple[Activity, object]:
        cells = self._cells()
        activities = {activity_of(cell) for cell in cells}
        marks = [(cell.mailbox.accepted, cell.progress) for cell in cells]
        for activity in (Activity.WORKING, Activity.WAITING):
            if activity in activities:
                return activity, marks
        return Activity.QUIET, marks


def activity_of(cell: AgentCell) -> Activity:
    """Return the activity of one agent."""
    phase = cell.life.phase
    if phase in (Phase.STOPPED, Phase.FAILED):
        return Activity.QUIET
    if cell.blocking:
        return Activity.WAITING
    if cell.executor.busy or cell.is_held(Suspension.COMMIT):
        return Activity.WORKING
    incarnation = cell.incarnation
    if incarnation is not None and not incarnation.is_quiet:
        return Activity.WAITING
    if phase is Phase.RUNNING and not len(cell.mailbox) and not cell.mailbox.waiting:
        return Activity.QUIET
    return Activity.WORKING
