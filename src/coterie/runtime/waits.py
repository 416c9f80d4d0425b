"""Who waits for whom, to find circles before anybody waits in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coterie.concurrency import Completion, Rank, new_lock
from coterie.errors import WaitCycle

if TYPE_CHECKING:
    from coterie.runtime.cell import AgentCell


class WaitGraph:
    """The agents of one runtime that wait for one another.

    There is an edge from an agent to another as long as the one can handle nothing until the other has done something:
    answered an ask that a handler waits for, or made room in a full mailbox. An interleaving handler that waits makes
    no edge, and an edge whose outcome has come is none any more, although the one who waited may not have woken up yet.
    `_lock` guards all edges, so that of two agents that start to wait for each other, exactly one is refused.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.WAITS)

    def enter(self, waiting: AgentCell, target: AgentCell, outcome: Completion) -> None:
        """Note that `waiting` begins to wait for something that `target` is to bring about.

        Raises `WaitCycle`, and notes nothing, if that closes a circle.
        """
        with self._lock:
            path = _path(target, waiting)
            if path is None:
                waiting.waits_for[outcome] = target
                return
        raise WaitCycle([waiting.name, *(cell.name for cell in path)])

    def leave(self, waiting: AgentCell, outcome: Completion) -> None:
        """Note that `waiting` waits for that no longer. Does nothing if it did not."""
        with self._lock:
            waiting.waits_for.pop(outcome, None)


def _path(start: AgentCell, end: AgentCell) -> list[AgentCell] | None:
    """Return the agents from `start` to `end` along the edges, both included, or None if there is no way."""
    came_from: dict[int, AgentCell | None] = {id(start): None}
    pending = [start]
    while pending:
        cell = pending.pop()
        if cell is end:
            path: list[AgentCell] = []
            step: AgentCell | None = cell
            while step is not None:
                path.append(step)
                step = came_from[id(step)]
            return path[::-1]
        for outcome, target in cell.waits_for.items():
            if not outcome.done and id(target) not in came_from:
                came_from[id(target)] = cell
                pending.append(target)
    return None
