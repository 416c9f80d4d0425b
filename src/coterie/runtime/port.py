"""The way to one agent, wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from coterie.concurrency import Completion
    from coterie.kernel import Address
    from coterie.messaging import Envelope, PendingPut
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.reference import AgentRef


class Port(Protocol):
    """What a reference sends through. Safe from any thread. Each agent has one per runtime that knows it."""

    @property
    def address(self) -> Address:
        """Where it leads."""
        ...

    @property
    def cell(self) -> AgentCell | None:
        """The agent itself, if it lives in this runtime."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives, as far as is known here."""
        ...

    @property
    def admit(self) -> Callable[[Envelope], PendingPut | None]:
        """What delivers an envelope. It never blocks: for a full mailbox that is to be waited for it returns a pending.

        What cannot be delivered because there is no agent becomes a dead letter, and ends the ask it belongs to. It
        raises `MailboxFull`, and `EncodeFailed` for what has no form on a wire that must be crossed.
        """
        ...

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope whose ask has ended."""
        ...

    def stop(self, *, drain: bool) -> Completion:
        """Have the agent stopped. What is returned is done when it has ended."""
        ...

    def watch(self, watcher: AgentRef) -> None:
        """Have `watcher` told when the agent is restarted and when it has ended; at once if it has."""
        ...

    def unwatch(self, watcher: AgentRef) -> None:
        """Tell `watcher` no more."""
        ...
