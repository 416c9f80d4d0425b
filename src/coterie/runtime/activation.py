"""Which agent is acting, on which message: what travels with the code that a handler runs."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coterie.messaging import Envelope
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.handlers import Handler


class Activation:
    """One handler, or hook, of one agent at work. Touched by the agent's thread alone, but for reading.

    All synchronous handlers of an agent share one activation, which is set anew for each message; every asynchronous
    one has its own, since several may be under way.
    """

    __slots__ = ("active", "cell", "envelope", "exclusive", "handler")

    def __init__(self, cell: AgentCell, *, exclusive: bool) -> None:
        self.cell = cell
        self.exclusive = exclusive
        """Whether the agent handles nothing else until this has ended."""
        self.active = True
        """Whether it is still under way."""
        self.envelope: Envelope | None = None
        """The message in hand; None for a hook or a background task."""
        self.handler: Handler | None = None

    @property
    def blocks_agent(self) -> bool:
        """Whether the agent handles nothing while this code waits on the thread that calls this."""
        return self.exclusive or self.cell.seat.thread_id == threading.get_ident()


CURRENT: ContextVar[Activation | None] = ContextVar("coterie_activation", default=None)
"""The activation whose code is running; None outside of all agents. Copied into tasks and `run_blocking`."""
