"""Summaries: the model replaces the oldest part of the history by a text, in the background."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec

from coterie.conversation.entries import SummaryEntry
from coterie.conversation.session.prompt import PromptUnit
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tokens import tokens_in
from coterie.errors import ModelError, describe
from coterie.models import ModelRequest, PromptMessage, TextMessage, ToolCall
from coterie.runtime.references.logs import AgentLog

_RESULT = 1_500
"""Characters of a result that the model sees when it summarises."""
_LATER = 2
"""How many times as many turns pass until the next try after each summary that failed."""


class SummaryWriter:
    """Writes a summary when the policy asks for it, one at a time. Only the conversation's thread uses it.

    A summary that fails costs nothing but its place in prompts: the entries stay in the log, and it is tried again after some
    turns, each time after more.
    """

    def __init__(self, session_log: SessionLog, spawn: Callable[..., object], log: AgentLog) -> None:
        self._session_log = session_log
        self._spawn = spawn
        self._log = log
        self._pause = 1
        self._not_before = 0
        self.writing = False
        """Whether a summary is being written."""

    def consider(self) -> None:
        """Begin a summary if it is time. Called between turns."""
        log = self._session_log
        if self.writing or log.answered < self._not_before:
            return
        units, budget = log.window.history.units, log.window.budget
        count = min(log.window.plan(units, budget).summarise, len(units))
        chosen = self._chosen(units, count, budget)
        if chosen:
            self.writing = True
            self._spawn(self._write, chosen)

    def _chosen(self, units: Sequence[PromptUnit], count: int, budget: int) -> list[PromptUnit]:
        """Return the oldest units that the model can read at once, without those whose operations have not ended."""
        chosen: list[PromptUnit] = []
        left = budget
        for unit in units[:count]:
            left -= sum(tokens_in(line) for line in map(_line, unit.messages))
            if chosen and left < 0:
                break
            if not unit.pinned:
                chosen.append(unit)
        if not chosen:
            return []
        # Deliveries and outcomes that came while the last of these turns ran cannot be told from it by their numbers.
        until = max(unit.last for unit in chosen)
        known = {id(unit) for unit in chosen}
        return [unit for unit in units if id(unit) in known or (unit.last <= until and not unit.turn and not unit.pinned)]

    async def _write(self, chosen: list[PromptUnit]) -> None:
        log, settings = self._session_log, self._session_log.host.settings
        until = max(unit.last for unit in chosen)
        known = {id(unit) for unit in chosen}
        beyond = tuple(
            unit.turn for unit in log.window.history.units if id(unit) not in known and unit.turn and unit.first <= until
        )
        before = log.window.history.summary
        lines = [f"Summary of what was before:\n{before.text}\n"] if before is not None else []
        lines += [_line(message) for unit in chosen for message in unit.messages]
        request = ModelRequest(
            instructions=settings.summary_instructions,
            exchanges=(TextMessage("user", "\n".join(lines)),),
            agent=log.state.name,
            step=f"summary {until}",
            priority=-1,
        )
        model = log.state.model_of(log.role)
        try:
            with log.requests.recorded(model.name, request):
                text = _checked(await log.host.complete(request, model))[: settings.longest_summary]
        except (ModelError, TimeoutError) as error:
            self._pause *= _LATER
            self._not_before = log.answered + self._pause
            log.host.telemetry.count("summaries_failed")
            self._log.warning(
                "the history is not summarised: %s; it is tried again after %s turns", describe(error), self._pause
            )
        else:
            self._pause = 1
            first = min(unit.first for unit in chosen) if before is None else before.first
            log.host.telemetry.count("summaries")
            await log.record(SummaryEntry(text=text, first=first, until=until, beyond=beyond))
        finally:
            self.writing = False


def _checked(text: str) -> str:
    if not text.strip():
        raise ModelError("the summary is empty")
    return text.strip()


def _line(message: PromptMessage) -> str:
    """Return a message as a line of the text to summarise."""
    if isinstance(message, TextMessage):
        return f"{message.role.capitalize()}: {message.text}"
    if isinstance(message, ToolCall):
        arguments = json.dumps(msgspec.to_builtins(dict(message.arguments)), ensure_ascii=False, default=str)
        return f"Tool call: {message.name} {arguments[:_RESULT]}"
    cut = "…" if len(message.content) > _RESULT else ""
    return f"Result of {message.name}: {message.content[:_RESULT]}{cut}"
