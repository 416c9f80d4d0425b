"""Where a conversation's agent and its front ends meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.conversation.feed import EventStream
from coterie.conversation.history.journal import key_of
from coterie.conversation.history.plain import plain_text
from coterie.conversation.host import ConversationServices
from coterie.conversation.operations.operation import Operation
from coterie.storage import Pending

T = TypeVar("T")


class ConversationState:
    """What is known of one conversation outside of its agent. Also what its tools see of it.

    Safe from any thread: `values` and `live` are replaced, never changed; `_lock` guards the replacing of notes.
    """

    def __init__(self, host: ConversationServices, namespace: tuple[str, ...], user: str) -> None:
        self.host = host
        self.namespace = namespace
        self.user = user
        self.key = key_of(namespace)
        self.name = "/".join(plain_text(part).replace("%", "%25").replace("/", "%2F") for part in namespace)
        """What logs and models' budgets call it; of two conversations it is not the same."""
        self.feed = EventStream(host.journal, self.key, host.settings.kept_events)
        self.live: Mapping[int, Operation] = {}
        """The operations that the agent has in hand, with their latest progress. Written by the agent alone."""
        self.rest: Callable[[], bool] = _never
        """What the agent calls when it has had nothing to do for long; it is stopped if that returns True."""
        self.epoch = 0
        self._values: Mapping[str, Any] = {}
        self._lock = new_lock(Rank.RECORDS)

    def __deepcopy__(self, memo: object) -> ConversationState:
        return self

    @property
    def values(self) -> Mapping[str, Any]:
        """What tools have noted."""
        return self._values

    def opened(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Be told by the agent that it has taken the conversation over."""
        with self._lock:
            self.epoch = epoch
            self._values = dict(values)

    def use(self, kind: type[T]) -> T:
        """Return what was provided of a type."""
        return self.host.use(kind)

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Keep a note of a tool."""
        pending = self.host.journal.note(self.key, self.epoch, key, value)
        with self._lock:
            values = dict(self._values)
            values.pop(key, None)
            if value is not None:
                values[key] = value
            self._values = values
        return pending

    def keep(self, operation: Operation, value: bytes) -> Pending[bool]:
        """Keep a checkpoint."""
        return self.host.journal.ledger.keep(self.key, operation.number, operation.attempt, value)


def _never() -> bool:
    return False
