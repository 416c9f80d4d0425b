"""The agent that an incarnation needs."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.cells.metrics import TimesRecorder
from coterie.runtime.cells.states import Suspension
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.references.invocation import ActingAgent, Outbox
from coterie.runtime.references.logs import AgentLog


class IncarnationLife(Protocol):
    """The life cycle that an incarnation is part of."""

    @property
    def draining(self) -> bool:
        """True if the agent stops as soon as its mailbox is empty."""
        ...

    def fail(self, error: BaseException, message: str = "") -> None:
        """Fail the agent."""
        ...


class IncarnationOwner(ActingAgent, Protocol):
    """The agent whose incarnation this is. All of it is called on the agent's thread."""

    kept: Any
    last_error: str

    @property
    def log(self) -> AgentLog:
        """Its log."""
        ...

    @property
    def spec(self) -> AgentSpec:
        """Its specification, with its handlers."""
        ...

    @property
    def incarnation(self) -> object:
        """The current incarnation, or None."""
        ...

    @property
    def life(self) -> IncarnationLife:
        """The life cycle."""
        ...

    @property
    def outcomes(self) -> TimesRecorder:
        """The counts of its messages."""
        ...

    def now(self) -> float:
        """Return the runtime's monotonic time."""
        ...

    def loop(self) -> AgentLoop:
        """Return the agent's event loop."""
        ...

    @property
    def outbox(self) -> Outbox | None:
        """The outbox of a durable agent's handler in hand."""
        ...

    def hold(self, reason: Suspension) -> None:
        """Take no messages until `release`."""
        ...

    def is_held(self, reason: Suspension) -> bool:
        """Return whether it takes no messages for this reason."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox."""
        ...

    def release(self, reason: Suspension) -> None:
        """Take messages again, unless there is another reason not to."""
        ...

    def handler_returned(self, envelope: Envelope | None, value: Any) -> None:
        """Handle the result of an ``async`` handler; without an envelope, the handler has postponed its message."""
        ...

    def handler_raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> None:
        """Handle the error of a handler."""
        ...
