"""The state that a conversation's agent shares with its tools and front ends, and the services that all share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.conversation.event_stream import EventStream
from coterie.conversation.journal import Journal, key_of
from coterie.conversation.memories import UserMemories
from coterie.conversation.operations.arbiter import ResourceArbiter
from coterie.conversation.operations.durations import DurationEstimates
from coterie.conversation.operations.leases import LeaseTable
from coterie.conversation.operations.operation import Operation
from coterie.conversation.roles import AssistantRole, ModelLimit, Team, all_tools
from coterie.conversation.sanitize import check_reply, plain_text, text_of_piece
from coterie.conversation.sent_requests import SentRequest
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationCounters
from coterie.conversation.tokens import TokenMeter
from coterie.conversation.tools.source import ToolSource, ToolTable
from coterie.conversation.tools.tool import Tool
from coterie.errors import ModelError, ServiceMissing, describe
from coterie.kernel import Clock
from coterie.models import Model, ModelReply, ModelRequest, ResultForm, problem_of
from coterie.storage import Pending
from coterie.storage.dialect import Dialect

T = TypeVar("T")

WINDOW = 32_000
"""Tokens of the window of a model that does not say its own."""


class ConversationServices:
    """The services that all conversations of a host share. Each is safe from any thread; the attributes never change."""

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool | ToolSource],
        journal: Journal,
        settings: ConversationSettings,
        provide: Iterable[Any],
        clock: Clock,
        team: Team | None = None,
        memories: UserMemories | None = None,
    ) -> None:
        self.model = model
        self.journal = journal
        self.settings = settings
        self.clock = clock
        self.telemetry = ConversationCounters()
        self.meter = TokenMeter()
        self.window = self.window_of(model)
        """The window of its own model, in tokens."""
        self.durations = DurationEstimates()
        self.resources = ResourceArbiter()
        # Only one process at a time has a file of SQLite open, so what its hosts share is in memory.
        self.leases = LeaseTable(journal.database) if journal.database.dialect is Dialect.POSTGRES else None
        self._provided = tuple(provide)
        self.memories = memories
        """The memories of users over their conversations, or None."""
        self.team = team
        """The assistants of its conversations, or None if there is only one, which needs no name."""
        self._shared = (*tools, *(memories.tools() if memories is not None else ()))
        self._tables: dict[AssistantRole | None, ToolTable] = {}
        self._tools = ToolTable(
            all_tools(self._shared, team.roles.values() if team is not None else ()),
            lambda name: self.durations.learn(name, journal.ledger.times(name)),
        )

    def __deepcopy__(self, memo: object) -> ConversationServices:
        return self

    def window_of(self, model: Model) -> int:
        """Return the window of a model, in tokens."""
        known = getattr(model, "context_window", None)
        return self.settings.window or (known if isinstance(known, int) and known > 0 else WINDOW)

    async def complete(self, request: ModelRequest, model: Model | None = None) -> str:
        """Return the text of the model's reply to a request beside the turns. Raises `ModelError` and `TimeoutError`."""
        model = model if model is not None else self.model
        parts: list[str] = []
        stream: Any = model.stream(request)
        try:
            while True:
                async with asyncio.timeout(self.settings.model_timeout):
                    piece = await anext(stream, None)
                if piece is None:
                    return "".join(parts)
                if isinstance(piece, ModelReply):
                    return check_reply(piece).text or "".join(parts)
                parts.append(text_of_piece(piece))
        except (ModelError, TimeoutError):
            raise
        except Exception as error:
            raise ModelError(f"{model.name} failed: {describe(error)}") from error
        finally:
            if (close := getattr(stream, "aclose", None)) is not None:
                await close()

    @property
    def tools(self) -> Mapping[str, Tool]:
        """All tools by name. Those of other programs can change from one moment to the next."""
        return self._tools.current

    def tools_of(self, role: AssistantRole | None) -> Mapping[str, Tool]:
        """Return the tools of an assistant by name, those of the host included, or only these without an assistant."""
        table = self._tables.get(role)
        if table is None:
            # Two threads may make the same table; either is right.
            own = role.tools if role is not None else ()
            table = self._tables[role] = ToolTable(dict.fromkeys((*self._shared, *own)), _ignore)
        return table.current

    def use(self, kind: type[T]) -> T:
        """Return the provided object of a type. Raises `ServiceMissing`."""
        for each in self._provided:
            if isinstance(each, kind):
                return each
        raise ServiceMissing(kind, [type(each) for each in self._provided])


class ResultForms:
    """The types of the results that callers wait for, by their schemas. Safe from any thread; `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._forms: dict[str, ResultForm] = {}

    def add(self, form: ResultForm) -> None:
        """Add a form, by which the replies of the model are checked."""
        with self._lock:
            self._forms[_digest(form.schema)] = form

    def problem(self, schema: Mapping[str, Any], reply: ModelReply) -> str:
        """Return the reason for which a reply does not fit, or an empty text.

        After a restart the type is not known any more: then any object in JSON fits, and the caller that reads it checks it.
        """
        with self._lock:
            form = self._forms.get(_digest(schema)) or _ANY
        try:
            form.value(reply.text)
        except ValueError as error:
            return problem_of(reply, error)
        return ""


_ANY = ResultForm(dict[str, Any])


def _digest(schema: Mapping[str, Any]) -> str:
    return json.dumps(msgspec.to_builtins(dict(schema)), sort_keys=True, default=str)


class ConversationState:
    """The state of one conversation that its agent shares with front ends and tools.

    Safe from any thread: `values`, `live` and `requests` are replaced, never mutated; `_lock` guards the replacement of notes.
    """

    def __init__(
        self,
        host: ConversationServices,
        namespace: tuple[str, ...],
        user: str,
        *,
        team: Team | None = None,
        limit: ModelLimit | None = None,
    ) -> None:
        self.host = host
        self.team = team if team is not None else host.team
        """Its assistants, or None if there is only one, which needs no name."""
        self._limit = limit
        self._models: dict[str, Model] = {}
        self.namespace = namespace
        self.user = user
        self.key = key_of(namespace)
        self.name = "/".join(plain_text(part).replace("%", "%25").replace("/", "%2F") for part in namespace)
        """Its unique name in logs and model budgets."""
        self.event_stream = EventStream(host.journal, self.key, host.settings.kept_events)
        self.live: Mapping[int, Operation] = {}
        """The current operations with their latest progress. Only the agent writes it."""
        self.requests: tuple[SentRequest, ...] = ()
        """The latest requests to its models, oldest first. Only the agent replaces it."""
        self.forms = ResultForms()
        self.rest: Callable[[], bool] = _never
        """The agent calls this when it has been idle; the agent is stopped if it returns True."""
        self.epoch = 0
        self._values: Mapping[str, Any] = {}
        self._lock = new_lock(Rank.RECORDS)

    def __deepcopy__(self, memo: object) -> ConversationState:
        return self

    def model_of(self, role: AssistantRole | None) -> Model:
        """Return the model of an assistant, within the limits of the conversation."""
        own = role.model if role is not None and role.model is not None else self.host.model
        if self._limit is None:
            return own
        name = role.name if role is not None else ""
        return self._models.setdefault(name, self._limit(own))

    @property
    def values(self) -> Mapping[str, Any]:
        """The notes of the tools."""
        return self._values

    def opened(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Set the epoch and the notes after the agent has taken the conversation over."""
        with self._lock:
            self.epoch = epoch
            self._values = dict(values)

    def use(self, kind: type[T]) -> T:
        """Return the provided object of a type."""
        return self.host.use(kind)

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Store a note of a tool."""
        pending = self.host.journal.note(self.key, self.epoch, key, value)
        with self._lock:
            values = dict(self._values)
            values.pop(key, None)
            if value is not None:
                values[key] = value
            self._values = values
        return pending

    def keep(self, operation: Operation, value: bytes) -> Pending[bool]:
        """Store a checkpoint."""
        return self.host.journal.ledger.keep(self.key, operation.number, operation.attempt, value)


def _never() -> bool:
    return False


def _ignore(_name: str) -> None:
    """Learn nothing: the table of all tools does."""
