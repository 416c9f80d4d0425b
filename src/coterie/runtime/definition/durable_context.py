"""The calls of a durable agent's context."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.errors.durable import OutsideHandler
from coterie.messaging import Message


class DurableOwner(Protocol):
    """A durable agent, as its context sees it. Only for the agent's thread."""

    @property
    def key(self) -> str:
        """The key of the agent."""
        ...

    def record(self, event: Any) -> None:
        """Record an event, and fold it into the agent."""
        ...

    def remind(self, after: float, message: Message, name: str | None) -> None:
        """Set a durable timer."""
        ...

    def cancel_reminder(self, name: str) -> None:
        """Cancel a durable timer."""
        ...


class DurableOwnerHolder(Protocol):
    """The cell of a context, as far as it may be durable."""

    @property
    def durable(self) -> DurableOwner | None:
        """The durable side of the agent, if it has one."""
        ...


class DurableContext:
    """The calls that the context of a durable agent has in addition to those of any agent.

    Changes belong to the transaction of the current message: they are stored when its handler has returned, together
    with the state and with the messages that it sent. If the handler raises, none of them is stored. All calls raise
    `OutsideHandler` in an agent that is not durable, and all except `key` raise it outside of a handler.
    """

    __slots__ = ()

    _cell: DurableOwnerHolder

    @property
    def key(self) -> str:
        """The key of the durable agent."""
        return self._durable("key").key

    def record(self, event: Any) -> None:
        """Record an event: `apply(event)` is called at once, and the event is stored with the message.

        Raises `StateRefused` if the event has no stored form or `apply` does not declare its class.
        """
        self._durable("record").record(event)

    def remind(self, after: float, message: Message, *, key: str | None = None) -> None:
        """Send this agent a message in `after` seconds, also if the agent, the process or the machine ends meanwhile.

        The agent is activated for it, and handles it once. A reminder with a `key` replaces the earlier one of that key,
        and can be cancelled. Raises `EncodeFailed`, `InvalidMessage`, `InvalidSetting`.
        """
        self._durable("remind").remind(after, message, key)

    def cancel_reminder(self, key: str) -> None:
        """Cancel the reminder of a key, if there is one."""
        self._durable("cancel_reminder").cancel_reminder(key)

    def _durable(self, call: str) -> DurableOwner:
        durable = self._cell.durable
        if durable is None:
            raise OutsideHandler(call)
        return durable
