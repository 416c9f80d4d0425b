"""Detection of agents that would keep a runtime from draining for ever."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from coterie.kernel import Countdown
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Phase
from coterie.runtime.observation.quiescence import Activity, activity_of

_PATIENCE = 1.0
"""Seconds for which no other agent may have anything to do."""
_IN_A_ROW = 100
"""Messages that an agent must have handled meanwhile, all of them its own, before they count as endless."""
_START = 5.0
"""Seconds after which a start counts as endless also if messages wait for its end."""
_LOOKED_AT = 100
"""Queued messages of an agent that are looked at."""


class EndlessWork:
    """Finds agents that only keep themselves busy, by repeated looks, once no other agent has anything to do.

    These are agents that handle one message after the other that they told themselves, and agents whose start does not end,
    though it has lasted for long or no message waits for its end. For one thread.
    """

    def __init__(self, cells: Callable[[], list[AgentCell]]) -> None:
        self._cells = cells
        self._patience = Countdown(_PATIENCE)
        self._handled: dict[int, int] = {}
        """The active agents of the last look by number, with the count of messages that each had handled at first."""

    def look(self) -> list[AgentCell]:
        """Return the agents that count as endless by now."""
        active = [cell for cell in self._cells() if activity_of(cell) is not Activity.QUIET]
        if not all(_starts(cell) or _tells_itself(cell) for cell in active):
            self._handled = {}
            return []
        if not self._handled:
            self._patience = Countdown(_PATIENCE)
        self._handled = {cell.address.number: self._handled.get(cell.address.number, cell.outcomes.handled) for cell in active}
        return [cell for cell in active if self._patience.over and (_starts(cell) or self._count(cell) >= _IN_A_ROW)]

    def _count(self, cell: AgentCell) -> int:
        return cell.outcomes.handled - self._handled[cell.address.number]


def _starts(cell: AgentCell) -> bool:
    if cell.life.phase not in (Phase.STARTING, Phase.RESTARTING):
        return False
    life = cell.incarnation
    overdue = life is not None and cell.now() - life.began > _START
    return overdue or not (len(cell.mailbox) or cell.mailbox.waiting)


def _tells_itself(cell: AgentCell) -> bool:
    messages = chain(cell.in_hand(), cell.mailbox.peek(_LOOKED_AT))
    return all(each.sender is not None and each.sender.address == cell.address for each in messages)
