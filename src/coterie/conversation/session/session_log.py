"""The current state of one conversation in memory, and its writer."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from coterie.conversation.entries import (
    FIRST_PART,
    PARTS,
    ConsentRequestedEntry,
    ConversationEntry,
    HandoffEntry,
    TextCompleted,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
    events_of,
    identify,
)
from coterie.conversation.events import AnyConversationEvent, OperationChanged
from coterie.conversation.journal import LogRecord
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.roles import AssistantRole
from coterie.conversation.sanitize import storable
from coterie.conversation.session.prompt import Prompt
from coterie.conversation.session.prompt_window import MOST, PAGE, PromptWindow
from coterie.conversation.session.request_records import RequestRecorder
from coterie.conversation.session.session_spans import SessionSpans
from coterie.conversation.state import ConversationState
from coterie.conversation.tools.redaction import SecretRedactor
from coterie.conversation.tools.tool import Tool
from coterie.storage import Pending

_LEAST = 100
"""Log entries that stay in memory at least."""
_MAX_FINISHED = 100
"""Finished operations that stay in memory."""


_TEXTS = frozenset({"text", "whole", "content", "problem", "detail", "line"})
"""The fields of entries, operations and events in which tools and models can repeat a secret."""
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _UncommittedEvents:
    """Events that wait for the commit of their log entries."""

    __slots__ = ("events", "ready")

    def __init__(self, events: list[AnyConversationEvent | TextCompleted]) -> None:
        self.events = events
        self.ready = False


class SessionLog:
    """The end of the log, the current operations, and their writer. Only the conversation's thread uses it.

    A change is made in memory first and written at once, in order. Its events are published when it is committed.
    """

    def __init__(self, state: ConversationState, failed: Callable[[BaseException], None]) -> None:
        self.state = state
        self.host = state.host
        self.spans = SessionSpans(state.name)
        self._failed = failed
        self._role = state.team.first if state.team is not None else None
        self.window = PromptWindow(state, lambda: state.model_of(self._role))
        opened = self.host.journal.open(state.key, PAGE, person=state.user)
        state.opened(opened.epoch, opened.notes)
        self._epoch = opened.epoch
        self.records: deque[LogRecord] = deque(self.window.restore(opened))
        self._weight = sum(map(self.window.size_of, self.records))
        """The rough length of the entries in memory, in tokens."""
        self.operations: dict[int, Operation] = {each.number: each for each in opened.operations}
        self._finished: dict[int, Operation] = {}
        """The latest finished operations, which the ledger may not have yet."""
        self._redactor = SecretRedactor()
        self.requests = RequestRecorder(state, self._redactor)
        self.last_operation = opened.last_operation
        self.last_turn = opened.last_turn
        for entry in self.entries():
            self._follow(entry)
        self.answered = max((each.turn for each in self.entries() if isinstance(each, TurnEndedEntry)), default=0)
        """The latest answered turn."""
        self._confirming: dict[str, tuple[int, int]] = {}
        """The turn and the operation of each request for consent in the chat, by its call."""
        for entry in self.entries():
            self._note_request(entry)
        self._sequence = opened.records[-1].sequence if opened.records else 0
        self._published = self._sequence
        self._slots: deque[_UncommittedEvents] = deque()
        self._latest: Pending[None] | None = None
        self._part = state.event_stream.begin(self._sequence)
        self._publish_live()

    @property
    def now(self) -> float:
        """The wall time in seconds."""
        return self.host.clock.time()

    @property
    def next_sequence(self) -> int:
        """The sequence number of the next log entry."""
        return self._sequence + 1

    def entries(self) -> list[ConversationEntry]:
        """Return the end of the log."""
        return [record.entry for record in self.records]

    def questions(self) -> list[UserMessageEntry]:
        """Return the unanswered messages, oldest first."""
        answered = {each.turn for each in self.entries() if isinstance(each, TurnEndedEntry)}
        return [each for each in self.entries() if isinstance(each, UserMessageEntry) and each.turn not in answered]

    @property
    def role(self) -> AssistantRole | None:
        """The assistant that speaks now; None if there is no team."""
        return self._role

    @property
    def speaker(self) -> str:
        """The name of the assistant that speaks now, or an empty text."""
        return self._role.name if self._role is not None else ""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools of the assistant that speaks now, by name."""
        return self.host.tools_of(self._role)

    @property
    def instructions(self) -> str:
        """The instructions of the assistant that speaks now."""
        team, role = self.state.team, self._role
        if team is None or role is None:
            return self.host.settings.instructions
        parts = (role.instructions or self.host.settings.instructions, team.introduction(role))
        return "\n\n".join(each for each in parts if each)

    @property
    def handoffs(self) -> Mapping[str, str]:
        """The assistants to whom the one that speaks now may hand over, by the names of the handoffs."""
        team = self.state.team
        return team.handoffs_of(self._role) if team is not None and self._role is not None else {}

    def _follow(self, entry: ConversationEntry) -> None:
        """Note who speaks after an entry."""
        team = self.state.team
        if team is not None and isinstance(entry, HandoffEntry | TurnEndedEntry):
            name = entry.target if isinstance(entry, HandoffEntry) else entry.speaker
            self._role = team.role(name) if name else self._role

    def new_operation(self) -> int:
        """Return the number of the next operation."""
        self.last_operation += 1
        return self.last_operation

    # Writing.

    def record(
        self, *entries: ConversationEntry, operations: Iterable[Operation] = (), durable: bool = True, tell: bool = True
    ) -> Pending[None]:
        """Append to the log and change operations; await the result to wait for the commit.

        With `tell`, changed operations that have not ended are announced; ended operations are announced by their entry.
        """
        at = self.now
        records: list[LogRecord] = []
        events: list[AnyConversationEvent | TextCompleted] = []
        for entry in map(storable, map(self._without_secrets, entries)):
            self._sequence += 1
            record = LogRecord(self._sequence, at, entry)
            records.append(record)
            self.records.append(record)
            self.window.history.add(record.sequence, entry)
            self._weight += self.window.size_of(record)
            events += events_of(record.sequence, at, entry)
            self._follow(entry)
            if isinstance(entry, TurnEndedEntry):
                self.answered = max(self.answered, entry.turn)
            self._note_request(entry)
        self._trim()
        changed = [storable(self._without_secrets(each)) for each in operations]
        for operation in changed:
            if operation.ended and operation.delivered:
                self.operations.pop(operation.number, None)
                self._finished[operation.number] = operation
                self._finished.pop(operation.number - _MAX_FINISHED, None)
            else:
                self.operations[operation.number] = operation
        self._publish_live()
        told = [each for each in changed if tell and not each.ended and not each.state.needs_person]
        slot = _UncommittedEvents(events)
        self._slots.append(slot)
        pending = self.host.journal.write(self.state.key, self._epoch, records, changed, durable=durable)
        loop = asyncio.get_running_loop()
        pending.add_callback(lambda: _later(loop, self._committed, slot, pending, told))
        self._latest = pending
        return pending

    async def commit(self) -> None:
        """Wait until all that was recorded so far is committed. Raises the error of the latest that cannot be."""
        if self._latest is not None:
            await self._latest

    def _trim(self) -> None:
        """Remove the oldest entries from memory, up to the first question that is not answered."""
        summary, enough = self.window.history.summary, self.window.enough
        while len(self.records) > _LEAST:
            oldest = self.records[0]
            entry, turn = oldest.entry, getattr(oldest.entry, "turn", 0)
            replaced = summary is not None and summary.replaces(oldest.sequence, turn)
            if isinstance(entry, UserMessageEntry) and turn > self.answered:
                return
            if not (replaced or len(self.records) > MOST or self._weight > enough):
                return
            self.records.popleft()
            self._weight -= self.window.size_of(oldest)
            self.window.history.forget(oldest.sequence)

    def prompt(self, turn: int | None) -> Prompt:
        """Return the messages of a prompt. The turns of operations that have not ended stay in it."""
        return self.window.prompt(turn, {each.turn for each in self.operations.values() if not each.ended})

    def threadsafe(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return a function that calls `function` on this thread; it can be called from any thread."""
        loop = asyncio.get_running_loop()
        return lambda: _later(loop, function)

    def announce(self, make: Callable[..., AnyConversationEvent], **facts: Any) -> None:
        """Publish an event that is not in the log."""
        self._part += 1
        for name in _TEXTS & facts.keys():
            facts[name] = self._redactor.mask(facts[name])
        self.state.event_stream.publish([make(id=identify(self._published, self._part), at=self.now, **facts)])

    async def redact(self, secrets: Iterable[str] = ()) -> None:
        """Mask secrets, and those of earlier calls, in all entries as far back as prompts go, and in later entries and events."""
        if self._redactor.add(secrets):
            self.requests.redact()
        if not self._redactor.has_any:
            return
        amended = []
        for place, record in enumerate(self.records):
            entry = self._masked(record.entry)
            if entry != record.entry:
                self.records[place] = now = msgspec.structs.replace(record, entry=entry)
                self.window.history.add(now.sequence, entry)
                amended.append(now)
        if amended:
            self.state.event_stream.amend(
                [event for each in amended for event in events_of(each.sequence, each.at, each.entry)]
            )
            await self.host.journal.amend(self.state.key, self._epoch, amended)

    def _without_secrets(self, value: _Struct) -> _Struct:
        """Return an entry or operation without the known secrets. A message of the user is kept until its turn has ended."""
        return value if isinstance(value, UserMessageEntry) or not self._redactor.has_any else self._masked(value)

    def _masked(self, value: _Struct) -> _Struct:
        found: dict[str, Any] = {}
        for name in value.__struct_fields__:
            given = getattr(value, name)
            if name in _TEXTS:
                found[name] = self._redactor.mask(given)
            elif name == "operation" and isinstance(given, Operation):
                found[name] = self._masked(given)
            elif name == "operations":
                found[name] = tuple(map(self._masked, given))
        return msgspec.structs.replace(value, **found)

    def operation(self, number: int) -> Operation | None:
        """Return any operation of the conversation with its latest change, committed or not."""
        here = self.operations.get(number) or self._finished.get(number)
        return here or self.host.journal.ledger.one(self.state.key, number)

    def result(self, name: str) -> str | None:
        """Return the whole result with that id: of a call, or of an operation; None if there is none."""
        for record in reversed(self.records):
            if isinstance(record.entry, ToolResultEntry) and record.entry.call == name:
                return record.entry.content
        kind, _, rest = name.partition("-")
        digits = rest.partition("-")[0]
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):  # noqa: PLR2004 - 64 bits
            return None
        if kind in ("op", "status"):
            operation = self.operation(int(digits))
            return outcome_line(operation) if operation is not None else None
        # The id of a call has the number of an entry right before it.
        for record in self.host.journal.between(self.state.key, int(digits) - 1, self._sequence, PAGE):
            if isinstance(record.entry, ToolResultEntry) and record.entry.call == name:
                return record.entry.content
        return None

    def record_progress(self, operation: Operation) -> None:
        """Record the progress of an operation in memory; its next transition writes it."""
        if operation.number in self.operations:
            self.operations[operation.number] = operation
            self._publish_live()

    # Consent.

    def _note_request(self, entry: ConversationEntry) -> None:
        if isinstance(entry, ConsentRequestedEntry) and entry.spoken and entry.operation is not None:
            self._confirming[_canonical_call(entry.tool, entry.arguments)] = entry.turn, entry.operation.number

    def take_consent(self, tool: str, arguments: Mapping[str, Any], turn: int) -> int | None:
        """Return the operation that asked for consent to the same call in the turn before, if the user has answered since.

        Consent counts once, and lapses if the answer led to another call: after a no, the user is asked again. A message
        from before the question does not count as an answer.
        """
        key = _canonical_call(tool, arguments)
        asked, number = self._confirming.get(key, (0, 0))
        operation = self.operations.get(number)
        if operation is None or operation.state is not OperationState.AWAITING_APPROVAL or asked != turn - 1:
            return None
        if _canonical_call(operation.tool, operation.arguments) != key:
            # A person has changed the arguments since, so that is another request.
            return None
        put = next((each.sequence for each in self.records if _is(each.entry, TurnEndedEntry, asked)), None)
        said = next((each.sequence for each in self.records if _is(each.entry, UserMessageEntry, turn)), None)
        if put is None or said is None or said < put:
            return None
        del self._confirming[key]
        return number

    def _committed(self, slot: _UncommittedEvents, pending: Pending[None], told: list[Operation]) -> None:
        error = pending.exception()
        if error is not None:
            self._failed(error)
            return
        slot.ready = True
        while self._slots and self._slots[0].ready:
            events = self._slots.popleft().events
            if events:
                self._published = events[-1].id >> PARTS
                self._part = FIRST_PART
                self.state.event_stream.publish(events)
        for operation in told:
            self.announce(OperationChanged, operation=operation)

    def _publish_live(self) -> None:
        self.state.live = dict(self.operations)


def _canonical_call(tool: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([tool, msgspec.to_builtins(dict(arguments))], sort_keys=True, default=str)


def _is(entry: ConversationEntry, kind: type[UserMessageEntry | TurnEndedEntry], turn: int) -> bool:
    return isinstance(entry, kind) and entry.turn == turn


def _later(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        # The agent has ended; the next opening of the conversation reads the committed state.
        return
