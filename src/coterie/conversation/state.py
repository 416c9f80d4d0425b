"""The state that a conversation's agent shares with its tools and front ends, and the services that all share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.conversation.event_stream import EventStream
from coterie.conversation.journal import Journal, key_of
from coterie.conversation.operations.durations import DurationEstimates
from coterie.conversation.operations.operation import Operation
from coterie.conversation.sanitize import plain_text
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationCounters
from coterie.conversation.tools.tool import Tool
from coterie.errors import DefinitionError, InvalidSetting, ServiceMissing
from coterie.kernel import Clock
from coterie.models import Model
from coterie.storage import Pending

T = TypeVar("T")


class ConversationServices:
    """The parts that conversations share, each of which guards itself. Nothing here changes after it was made."""

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool],
        journal: Journal,
        settings: ConversationSettings,
        provide: Iterable[Any],
        clock: Clock,
    ) -> None:
        self.model = model
        self.tools: Mapping[str, Tool] = MappingProxyType(_by_name(tools))
        self.journal = journal
        self.settings = settings
        self.clock = clock
        self.telemetry = ConversationCounters()
        self.durations = DurationEstimates()
        self._provided = tuple(provide)
        for name in self.tools:
            self.durations.learn(name, journal.ledger.times(name))

    def __deepcopy__(self, memo: object) -> ConversationServices:
        return self

    def use(self, kind: type[T]) -> T:
        """Return what was provided of a type. Raises `ServiceMissing`."""
        for each in self._provided:
            if isinstance(each, kind):
                return each
        raise ServiceMissing(kind, [type(each) for each in self._provided])


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for each in tools:
        if not isinstance(each, Tool):
            raise InvalidSetting("tools", each, "functions that are marked with @tool")
        if found.setdefault(each.name, each) is not each:
            raise DefinitionError(f"the tool {each.name}", "there are two of that name", "give one another name")
    return found


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
        self.event_stream = EventStream(host.journal, self.key, host.settings.kept_events)
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
