"""What all conversations of one host share. Not for users: their face is `Conversations`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from coterie.conversation.history.journal import Journal
from coterie.conversation.operations.durations import Durations
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationCounters
from coterie.conversation.tools.tool import Tool
from coterie.errors import DefinitionError, InvalidSetting, ServiceMissing
from coterie.kernel import Clock
from coterie.models import Model

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
        self.durations = Durations()
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
