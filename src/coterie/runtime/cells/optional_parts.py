"""The parts of an agent that most agents do without. Each is made at its first use, so an agent at rest stays small."""

from __future__ import annotations

from typing import Any

from coterie.concurrency import Rank, Signal, new_lock
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.cells.cell_services import CellServices
from coterie.runtime.cells.stash import Stash
from coterie.runtime.cells.suspendable import Suspendable
from coterie.runtime.references.logs import AgentLog

_MAKING = new_lock(Rank.RECORDS)


class OptionalParts(Suspendable):
    """The stash, the log and the signal of the end of an agent.

    Any thread may be the first to need the signal, so `_MAKING`, one lock for all agents, guards `_ended`. The stash and
    the log belong to the agent's thread.
    """

    __slots__ = ("_ended", "_log", "_stash")

    name: str
    mailbox: Mailbox
    services: CellServices[Any]

    def __init__(self) -> None:
        super().__init__()
        self._ended: Signal | None = None
        self._log: AgentLog | None = None
        self._stash: Stash | None = None

    def now(self) -> float:
        """Return the runtime's monotonic time."""
        return self.services.clock.monotonic()

    @property
    def ended(self) -> Signal:
        """The signal that is set when the agent has ended. From any thread."""
        if self._ended is None:
            made = Signal()
            with _MAKING:
                # No call in between: then no finalizer or signal handler of this thread runs in between either.
                if self._ended is None:
                    self._ended = made
        return self._ended

    def exchange_ends(self, other: OptionalParts) -> None:
        """Exchange the signals of the end of two records of one agent."""
        own, others = self.ended, other.ended
        self._ended, other._ended = others, own

    @property
    def stash(self) -> Stash:
        """The postponed messages. Only on the agent's thread."""
        if self._stash is None:
            self._stash = Stash(self)
        return self._stash

    @property
    def postponed(self) -> int:
        """The number of postponed messages. From any thread."""
        return 0 if self._stash is None else len(self._stash)

    @property
    def log(self) -> AgentLog:
        """The agent's log."""
        if self._log is None:
            self._log = AgentLog(self.services.node, self.name)
        return self._log
