"""The succession of a stuck agent: another record takes over its name, its messages, its watchers and its children."""

from __future__ import annotations

from typing import Protocol

from coterie.concurrency import PROCESS_THREADS
from coterie.errors import AskCancelled
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.outcomes import ClosedOutcomes


class CellTable(Protocol):
    """The registry of a runtime, as far as it replaces a record by another."""

    def replace(self, cell: AgentCell, successor: AgentCell) -> bool:
        """Put another record in the place of an agent's. Return False if the agent has ended, or is about to."""
        ...


class Successions:
    """Takes threads from agents that are stuck. Only the timers' thread calls `supersede`."""

    def __init__(self, registry: CellTable) -> None:
        self._registry = registry
        self._given_up: list[AgentCell] = []
        PROCESS_THREADS.watch(self)

    @property
    def abandoned(self) -> int:
        """The number of threads of stuck agents."""
        return len(self.given_up())

    def supersede(self, cell: AgentCell, error: BaseException | None) -> None:
        """Take a stuck agent's thread from it, and have another record take over: it fails with `error`, or ends without one.

        Does nothing if the agent has ended. A stuck activation of a durable agent stores nothing any more.
        """
        successor = cell.make_successor()
        if self._registry.replace(cell, successor):
            _hand_over(cell, successor, error)
            self._given_up = [*self.given_up(), cell]

    def given_up(self) -> list[AgentCell]:
        """Return the records that others have taken over from, and whose threads have not returned. From any thread."""
        return [cell for cell in self._given_up if cell.executor.busy]


def _hand_over(stuck: AgentCell, to: AgentCell, error: BaseException | None) -> None:
    """Let a registered successor take over. It fails with `error`; without an error it ends.

    The stuck thread may return at any time. It finds an order to stop, and then nothing that belongs to the agent: its mailbox
    is another, its outcomes no longer count, and its end is not reported.
    """
    stuck.control(lambda: stuck.life.stop(drain=False))
    in_hand = stuck.in_hand()
    stuck.successor = to
    stuck.given_up = True
    to.stash.take_over(stuck.stash)
    to.outcomes.take_over(stuck.outcomes)
    stuck.outcomes = ClosedOutcomes(stuck)
    mailbox = stuck.mailbox
    stuck.mailbox = stuck.outcomes.mailbox(mailbox.policy, stuck.services.clock, stuck.executor)
    stuck.mailbox.close()
    mailbox.taker = to.executor
    to.kept = stuck.kept
    to.restarts = stuck.restarts
    to.last_error = stuck.last_error
    to.ending = stuck.ending
    to.exchange_ends(stuck)
    to.children, stuck.children = stuck.children, None
    if to.children is not None:
        to.children.parent = to
    to.supervision_group.replace(to)
    if stuck.incarnation is not None:
        for timer in stuck.incarnation.timers.copy():
            timer.cancel()
    life = stuck.life
    to.control(lambda: to.life.take_over(life, None if mailbox.closed else error))
    why = "its handler was stuck, and the agent was given up"
    for envelope in in_hand:
        to.outcomes.abandoned(envelope, AskCancelled(stuck.name, type(envelope.message).__qualname__, why))
