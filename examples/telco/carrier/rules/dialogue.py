"""The dialogue so far, as rules need it: a function of the prompt, because rules have no state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from coterie.models import PromptMessage, TextMessage, ToolCall, ToolResult

from ..numbers import same
from .german import in_english, is_german, question_in_english

_UNKNOWN = re.compile(r"(op-\d+) \w+(?::| touches the same, and) it is unknown|interrupted during [^(]*\((op-\d+)\)")


@dataclass
class Turn:
    """One question, with the calls and texts of its answer."""

    question: str
    done: list[tuple[ToolCall, ToolResult]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dialogue:
    """A prompt, sorted into turns. The last one is unanswered."""

    turns: list[Turn]
    german: bool = False
    """Whether the customer writes German: by the latest message that tells."""

    @classmethod
    def of(cls, exchanges: Iterable[PromptMessage]) -> Dialogue:
        """Sort a prompt."""
        turns = [Turn("")]
        german = False
        calls: dict[str, ToolCall] = {}
        for each in exchanges:
            if isinstance(each, TextMessage) and each.role == "user":
                told = is_german(each.text)
                german = german if told is None else told
                turns.append(Turn(in_english(each.text) if german else each.text))
            elif isinstance(each, TextMessage):
                turns[-1].said.append(question_in_english(each.text))
            elif isinstance(each, ToolCall):
                calls[each.id] = each
            elif (call := calls.get(each.id)) is not None:
                turns[-1].done.append((call, each))
        return cls(turns, german)

    @property
    def now(self) -> Turn:
        """The turn to be answered."""
        return self.turns[-1]

    @property
    def done(self) -> list[tuple[ToolCall, ToolResult]]:
        """The calls of this turn so far, with their results."""
        return [(call, result) for call, result in self.now.done if not call.id.startswith("status-")]

    def number(self) -> str | None:
        """Return the number of this conversation's login, by the prompt."""
        for turn in reversed(self.turns):
            for call, result in reversed(turn.done):
                if "nobody is logged in" in result.content:
                    return None
                if call.name == "verify_login" and not result.failed:
                    return same(str(call.arguments.get("number", "")))
        return None

    def logging_in(self) -> str | None:
        """Return the number to which a code was sent, if the customer has not given the code yet."""
        for turn in reversed(self.turns):
            for call, result in reversed(turn.done):
                if call.name == "verify_login" and not result.failed:
                    return None
                if call.name == "start_login" and not result.failed:
                    return same(str(call.arguments.get("number", "")))
        return None

    def unknown(self) -> str | None:
        """Return the id of the latest operation whose outcome is unknown, as far as was heard."""
        for turn in reversed(self.turns):
            for text in (*reversed([result.content for _, result in turn.done]), *reversed(turn.said)):
                found = _UNKNOWN.search(text)
                if found is not None:
                    return found[1] or found[2]
        return None

    def last_said(self) -> str:
        """Return the last text before this turn."""
        return next((said for turn in reversed(self.turns[:-1]) for said in reversed(turn.said)), "")
