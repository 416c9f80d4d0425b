"""The prompt as a function of the log, kept up to date entry by entry.

In every prompt each tool call is followed by its result, by construction: calls are shown batch by batch, and each batch
is followed by one result for every call in it: the result in the log, or a note that the call was interrupted.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from coterie.conversation.entries import (
    ConversationEntry,
    DeliveredEntry,
    OperationEndedEntry,
    SummaryEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.conversation.history import HistoryPolicy, KeepLast
from coterie.conversation.journal import LogRecord
from coterie.conversation.operations.descriptions import outcome_line
from coterie.conversation.tokens import tokens_of
from coterie.models import PromptMessage, TextMessage, ToolCall, ToolResult

STATUS = "check_status"
"""The tool under whose name outcomes of background operations are shown."""
INTERRUPTED = "It was interrupted, and no result of it is known."
SUMMARY = "[Summary of the earlier conversation, of which the messages are not shown any more]"
_NOTE = 200
"""Characters for the note in a shortened result; to leave out fewer is not worth it."""
_TAIL = 5
"""The part of a shortened result from its end: one of so many."""


class Prompt(NamedTuple):
    """The messages of a prompt."""

    messages: tuple[PromptMessage, ...]
    tokens: int
    """Their estimated length."""
    shortened: bool
    """Whether a result in it is shortened."""


class PromptUnit:
    """A turn, a delivery, or the outcome of an operation: its entries, and its messages as `PromptHistory` last made them."""

    __slots__ = ("entries", "last", "messages", "pinned", "shortened", "tokens", "turn")

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.entries: list[tuple[int, ConversationEntry]] = []
        self.last = 0
        """The sequence number of its latest entry."""
        self.pinned = False
        self.shortened = False
        self.tokens = 0
        self.messages: tuple[PromptMessage, ...] = ()

    @property
    def first(self) -> int:
        """The sequence number of its first entry, without its question."""
        return self.entries[0][0] if self.entries else self.last


class PromptHistory:
    """The units of the log that are not summarised, and the latest summary. Only the conversation's thread uses it."""

    def __init__(self, shown: int | None = None) -> None:
        self.summary: SummaryEntry | None = None
        self._shown = shown
        self._units: dict[tuple[str, int], PromptUnit] = {}
        self._questions: dict[int, tuple[int, UserMessageEntry]] = {}
        self._results: dict[str, ToolResultEntry] = {}
        self._callers: dict[str, PromptUnit] = {}
        self._asked: PromptUnit | None = None
        """The current turn, while it has no entry but its question."""
        self._changed: set[PromptUnit] = set()
        """The units whose messages are to be made anew."""
        self._pinned: frozenset[int] = frozenset()

    @property
    def units(self) -> list[PromptUnit]:
        """The units, oldest first."""
        while self._changed:
            self._render(self._changed.pop())
        return list(self._units.values())

    def show(self, characters: int) -> None:
        """Show results up to that length."""
        if characters != self._shown:
            self._shown = characters
            self._changed.update(self._units.values())
            self._asked = None

    # The log.

    def add(self, sequence: int, entry: ConversationEntry) -> None:
        """Add an entry of the log, or replace the entry with that number."""
        match entry:
            case UserMessageEntry():
                self._questions[entry.turn] = sequence, entry
                self._asked = None
                self._touch(self._units.get(("turn", entry.turn)), sequence)
            case ToolResultEntry():
                self._results[entry.call] = entry
                self._touch(self._callers.get(entry.call), sequence)
            case ToolCallsEntry() | TurnEndedEntry():
                unit = self._put(("turn", entry.turn), entry.turn, sequence, entry)
                if isinstance(entry, ToolCallsEntry):
                    self._callers.update((call.id, unit) for call in entry.calls)
            case OperationEndedEntry() if entry.operation.background:
                self._put(("ended", sequence), 0, sequence, entry)
            case DeliveredEntry() if entry.text:
                self._put(("told", sequence), 0, sequence, entry)
            case SummaryEntry():
                self._replace(entry)
            case _:
                return

    def forget(self, sequence: int) -> None:
        """Forget the oldest units, of which no entry is newer than that number."""
        for key, unit in list(self._units.items()):
            if unit.last > sequence:
                return
            self._drop(key, unit)

    def _put(self, key: tuple[str, int], turn: int, sequence: int, entry: ConversationEntry) -> PromptUnit:
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = PromptUnit(turn)
            unit.pinned = turn in self._pinned
        known = next((place for place, (number, _) in enumerate(unit.entries) if number == sequence), None)
        if known is None:
            unit.entries.append((sequence, entry))
        else:
            unit.entries[known] = sequence, entry
        self._touch(unit, sequence)
        return unit

    def _touch(self, unit: PromptUnit | None, sequence: int) -> None:
        if unit is not None:
            unit.last = max(unit.last, sequence)
            self._changed.add(unit)

    def _replace(self, summary: SummaryEntry) -> None:
        self.summary = summary
        for key, unit in list(self._units.items()):
            if summary.replaces(unit.last, unit.turn):
                self._drop(key, unit)

    def _drop(self, key: tuple[str, int], unit: PromptUnit) -> None:
        del self._units[key]
        self._changed.discard(unit)
        if key[0] == "turn":
            self._questions.pop(unit.turn, None)
        for _, entry in unit.entries:
            for call in entry.calls if isinstance(entry, ToolCallsEntry) else ():
                self._results.pop(call.id, None)
                self._callers.pop(call.id, None)

    # The prompt.

    def pin(self, turns: Collection[int]) -> None:
        """Pin the turns whose operations have not ended, and no others."""
        for turn in self._pinned ^ (wanted := frozenset(turns)):
            if (unit := self._units.get(("turn", turn))) is not None:
                unit.pinned = turn in wanted
        self._pinned = wanted

    def prompt(self, policy: HistoryPolicy, budget: int, turn: int | None = None) -> Prompt:
        """Return the prompt of `budget` tokens at most.

        `turn` is the current turn; its question is the last one, and later questions are not shown yet. A question stands
        where its turn started, so an answer always follows its question.
        """
        units = self.units
        if turn is not None and turn in self._questions:
            # Entries from the middle of the turn stand before it, so that the prompt ends with the question to answer.
            current = self._units.get(("turn", turn)) or self._fresh(turn)
            if not units or units[-1] is not current:
                units = [each for each in units if each is not current] + [current]
        head: tuple[PromptMessage, ...] = ()
        if self.summary is not None:
            head = (TextMessage("user", f"{SUMMARY}\n{self.summary.text}"),)
        first = min(max(0, policy.plan(units, budget).first), max(0, len(units) - 1))
        kept = _fitting(units, first, budget - tokens_of(head))
        messages = [*head, *itertools.chain.from_iterable([unit.messages for unit in kept])]
        total = tokens_of(head) + sum([unit.tokens for unit in kept])
        shortened = any(unit.shortened for unit in kept)
        if len(kept) == 1 and total > budget:
            messages = _cut(messages, budget)
            total, shortened = tokens_of(messages), True
        return Prompt(tuple(messages), total, shortened)

    def _fresh(self, turn: int) -> PromptUnit:
        """Return a turn that has nothing but its question; it is no unit of the log yet."""
        if self._asked is None or self._asked.turn != turn:
            self._asked = PromptUnit(turn)
            self._render(self._asked)
        return self._asked

    def _render(self, unit: PromptUnit) -> None:
        """Make the messages of a unit."""
        question = self._questions.get(unit.turn) if unit.turn else None
        found: list[PromptMessage] = (
            [TextMessage("user", question[1].text, question[1].attachments)] if question is not None else []
        )
        shortened = False
        for sequence, entry in unit.entries:
            if isinstance(entry, ToolCallsEntry | TurnEndedEntry):
                if entry.text:
                    found.append(TextMessage("assistant", entry.text))
                if isinstance(entry, ToolCallsEntry):
                    found.extend(entry.calls)
                    results = [self._result(call) for call in entry.calls]
                    shortened = shortened or any(cut for _, cut in results)
                    found.extend(result for result, _ in results)
            elif isinstance(entry, OperationEndedEntry):
                operation = entry.operation
                name = f"status-{operation.number}-{operation.epoch}-{sequence}"
                content, cut = shorten(outcome_line(operation), operation.id, self._shown)
                shortened = shortened or cut
                found += [ToolCall(name, STATUS, {"operation": operation.id}), ToolResult(name, STATUS, content)]
            elif isinstance(entry, DeliveredEntry):
                found.append(TextMessage("assistant", entry.text))
        unit.messages, unit.shortened, unit.tokens = tuple(found), shortened, tokens_of(found)

    def _result(self, call: ToolCall) -> tuple[ToolResult, bool]:
        returned = self._results.get(call.id)
        if returned is None:
            return ToolResult(call.id, call.name, INTERRUPTED, failed=True), False
        content, cut = shorten(returned.content, call.id, self._shown)
        return ToolResult(call.id, call.name, content, failed=returned.failed), cut


PROMPT_ENTRIES = 10_000
"""The newest entries of a log that `prompt_of` is given."""


def prompt_of(records: Iterable[LogRecord], turn: int, policy: HistoryPolicy, budget: int) -> tuple[PromptMessage, ...]:
    """Return the messages of the last request of a turn, as a log gives them; none if the log does not have the turn."""
    history, known = PromptHistory(), False
    for record in records:
        known = known or (isinstance(record.entry, UserMessageEntry) and record.entry.turn == turn)
        if isinstance(record.entry, TurnEndedEntry) and record.entry.turn == turn:
            break
        history.add(record.sequence, record.entry)
    return history.prompt(policy, budget, turn).messages if known else ()


def shorten(content: str, name: str, limit: int | None) -> tuple[str, bool]:
    """Return a result of at most about `limit` characters, its beginning and its end, and whether it is shortened."""
    if limit is None or len(content) <= limit + _NOTE:
        return content, False
    tail = limit // _TAIL
    head = limit - tail
    note = (
        f"[shortened: the result has {len(content)} characters, and {head} to {len(content) - tail} are left out here; "
        f'read them with read_result, result "{name}"]'
    )
    return f"{content[:head]}\n{note}\n{content[len(content) - tail :]}", True


def project(
    entries: Iterable[ConversationEntry], *, turn: int | None = None, limit: int = 40, budget: int = 1 << 40
) -> tuple[PromptMessage, ...]:
    """Return the prompt of a whole log at once: its latest `limit` turns and deliveries, in at most `budget` tokens."""
    history = PromptHistory()
    for sequence, entry in enumerate(entries, 1):
        history.add(sequence, entry)
    return history.prompt(KeepLast(limit), budget, turn).messages


def _fitting(units: Sequence[PromptUnit], first: int, budget: int) -> list[PromptUnit]:
    """Return the latest units that fit, and the pinned ones before them. The last is always kept."""
    pinned = [unit for unit in units if unit.pinned]
    left = budget - sum([unit.tokens for unit in pinned])
    start = len(units)
    for unit in reversed(units[first:]):
        left -= 0 if unit.pinned else unit.tokens
        if left < 0 and start < len(units):
            break
        start -= 1
    kept = list(units[start:])
    if not pinned:
        return kept
    left = budget - sum([unit.tokens for unit in kept])
    before = []
    for unit in reversed([unit for unit in units[:start] if unit.pinned]):
        left -= unit.tokens
        if left >= 0:
            before.append(unit)
    return [*reversed(before), *kept]


def _cut(messages: Sequence[PromptMessage], budget: int) -> list[PromptMessage]:
    """Return a turn that is too long by itself, with its results cut to equal shares of the budget."""
    results = sum(isinstance(each, ToolResult) for each in messages)
    share = max(1, 2 * budget) // (results + 1)
    return [
        ToolResult(each.id, each.name, shorten(each.content, each.id, share)[0], failed=each.failed)
        if isinstance(each, ToolResult)
        else each
        for each in messages
    ]
