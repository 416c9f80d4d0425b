"""What was said and done so far, as far as rules need it: read off the prompt, for rules remember nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from coterie.models import PromptMessage, TextMessage, ToolCall, ToolResult

from ..numbers import same


@dataclass
class Turn:
    """One question, with what was called and said to answer it."""

    question: str
    done: list[tuple[ToolCall, ToolResult]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dialogue:
    """A prompt, sorted into turns. The last is the one that is to be answered."""

    turns: list[Turn]

    @classmethod
    def of(cls, exchanges: Iterable[PromptMessage]) -> Dialogue:
        """Sort a prompt."""
        turns = [Turn("")]
        calls: dict[str, ToolCall] = {}
        for each in exchanges:
            if isinstance(each, TextMessage) and each.role == "user":
                turns.append(Turn(each.text))
            elif isinstance(each, TextMessage):
                turns[-1].said.append(each.text)
            elif isinstance(each, ToolCall):
                calls[each.id] = each
            elif (call := calls.get(each.id)) is not None:
                turns[-1].done.append((call, each))
        return cls(turns)

    @property
    def now(self) -> Turn:
        """The turn to be answered."""
        return self.turns[-1]

    @property
    def done(self) -> list[tuple[ToolCall, ToolResult]]:
        """What has been called in this turn already."""
        return [(call, result) for call, result in self.now.done if not call.id.startswith("status-")]

    def number(self) -> str | None:
        """Return the number that this conversation is logged in for, as far as was heard."""
        for turn in reversed(self.turns):
            for call, result in reversed(turn.done):
                if "nobody is logged in" in result.content:
                    return None
                if call.name == "verify_login" and not result.failed:
                    return same(str(call.arguments.get("number", "")))
        return None

    def logging_in(self) -> str | None:
        """Return the number that a code was sent to, if it has not come yet."""
        for turn in reversed(self.turns):
            for call, result in reversed(turn.done):
                if call.name == "verify_login" and not result.failed:
                    return None
                if call.name == "start_login" and not result.failed:
                    return same(str(call.arguments.get("number", "")))
        return None

    def last_said(self) -> str:
        """Return what was said last before this turn."""
        return next((said for turn in reversed(self.turns[:-1]) for said in reversed(turn.said)), "")
