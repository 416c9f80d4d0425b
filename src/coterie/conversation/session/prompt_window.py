"""The part of the log that a prompt shows: as much as the model's window holds, by the policy of the conversation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from coterie.conversation.entries import SummaryEntry
from coterie.conversation.history import HistoryPlan, HistoryUnit, Summarise
from coterie.conversation.journal import LogRecord, OpenedConversation
from coterie.conversation.session.prompt import Prompt, PromptHistory
from coterie.conversation.state import ConversationState
from coterie.errors import describe
from coterie.models import Model

_log = logging.getLogger(__name__)

PAGE = 400
"""Log entries that are read at once."""
MOST = 20_000
"""Log entries that stay in memory at most."""
_KEPT = 2
"""How many times the budget of a prompt stays in memory."""
_REPLY = 8_000
"""Tokens that a prompt leaves for the reply at most."""
_PART = 8
"""The part of the window that is left for the reply, and the part that one result may have: one of so many."""
_SMALLEST = 300
_CHARACTERS = 3
"""Characters for a token."""


class PromptWindow:
    """Budgets the prompts of one conversation. Only the conversation's thread uses it. `model` returns the current model."""

    def __init__(self, state: ConversationState, model: Callable[[], Model]) -> None:
        self._state = state
        self._host = state.host
        self._model = model
        self.limit: int | None = None
        """Tokens of messages in a prompt at most, since the model's window did not hold more; None for no limit yet."""
        self.overhead = 0
        """Estimated tokens of the instructions and the tools of the latest prompt."""
        self.history = PromptHistory(self.shown)

    @property
    def enough(self) -> int:
        """The tokens that stay in memory."""
        return _KEPT * self.budget

    def restore(self, opened: OpenedConversation) -> list[LogRecord]:
        """Return the end of a stored log as far as prompts reach back, of which the history is made."""
        records = list(opened.records)
        floor = summary.until if (summary := _summary_in(opened)) is not None else 0
        enough, size = self.enough, sum(map(self.size_of, records))
        while records and size < enough and records[0].sequence > floor + 1 and len(records) < MOST:
            first = records[0].sequence
            page = self._host.journal.between(self._state.key, max(floor, first - 1 - PAGE), first - 1, PAGE)
            if not page:
                break
            size += sum(map(self.size_of, page))
            records = page + records
        turns = summary.beyond if summary is not None else ()
        here = records[0].sequence if records else 0
        kept = [each for turn in turns for each in self._host.journal.of_turn(self._state.key, turn) if each.sequence < here]
        found = sorted(kept, key=lambda each: each.sequence) + records
        for record in (*([opened.summary] if opened.summary is not None else ()), *found):
            self.history.add(record.sequence, record.entry)
        return found

    @property
    def room(self) -> int:
        """The estimated tokens of a whole prompt: the window without the part that is left for the reply."""
        window = self._host.window_of(self._model())
        return int((window - min(_REPLY, window // _PART)) / self._host.meter.factor)

    @property
    def budget(self) -> int:
        """The estimated tokens of the messages in a prompt."""
        budget = max(_SMALLEST, self.room - self.overhead)
        return budget if self.limit is None else min(budget, self.limit)

    @property
    def shown(self) -> int:
        """Characters of a result in a prompt."""
        if self.limit is None and self._host.settings.shown_result is not None:
            return self._host.settings.shown_result
        window = self._host.window if self.limit is None else self.limit
        return max(_SMALLEST, _CHARACTERS * window // _PART)

    def size_of(self, record: LogRecord) -> int:
        """Return the rough length of an entry in a prompt, in tokens."""
        entry = record.entry
        length = len(getattr(entry, "text", "") or getattr(entry, "content", ""))
        return 10 + min(length, self._host.settings.longest_result, _CHARACTERS * self._host.window // _PART) // _CHARACTERS

    def reduce(self, tokens: int) -> None:
        """Show at most so many tokens of messages from now on."""
        self.limit = tokens
        self.history.show(self.shown)

    def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:
        """Return the plan of the policy; without one, because the policy raised, that of `Summarise`."""
        try:
            plan: HistoryPlan = self._host.settings.history.plan(units, budget)
        except Exception as error:  # noqa: BLE001 - a policy of the application must not end the conversation
            _log.warning("the policy of the history raised %s; the standard one takes its place", describe(error))
            return Summarise().plan(units, budget)
        return plan

    def prompt(self, turn: int | None, pinned: Collection[int]) -> Prompt:
        """Return the messages of a prompt; the turns of `pinned` stay in it."""
        self.history.pin(pinned)
        return self.history.prompt(self, self.budget, turn)


def _summary_in(opened: OpenedConversation) -> SummaryEntry | None:
    entry = opened.summary.entry if opened.summary is not None else None
    return entry if isinstance(entry, SummaryEntry) else None
