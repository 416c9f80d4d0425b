"""What is asked of a model and what it answers: frozen, encodable, the same for every provider."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """What a model wants to have done."""

    id: str
    """Pairs the call with its result; one of its kind in a conversation."""
    name: str
    arguments: Mapping[str, Any] = {}
    """As the model gave them, not yet checked against the tool's schema."""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What became of a call."""

    id: str
    """That of the call."""
    name: str
    content: str
    failed: bool = False
    """Whether `content` says what went wrong, so that the model may try again."""


class TextMessage(msgspec.Struct, frozen=True, tag="spoken"):
    """Something said, by whoever has the role."""

    role: str
    """``user`` or ``assistant``."""
    text: str


PromptMessage = TextMessage | ToolCall | ToolResult
"""One line of what went before. Calls that stand next to one another were made at once."""


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool that a model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """The JSON schema of its arguments, an object."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model, with all that it is to know."""

    instructions: str = ""
    """What stands before everything: the role, the rules. The system's words."""
    exchanges: tuple[PromptMessage, ...] = ()
    """What went before, oldest first; every call is followed by its result."""
    tools: tuple[ToolDefinition, ...] = ()
    schema: Mapping[str, Any] | None = None
    """The JSON schema that the text of the reply must fit, an object; None for free text."""
    temperature: float | None = None
    """From 0 to 2; None for the provider's own."""
    max_tokens: int | None = None
    """The longest reply; None for the provider's own."""
    agent: str = ""
    """Who asks: budgets, and recordings, are kept by agent."""
    step: str = ""
    """Which of the agent's questions it is, for example ``round 3/decide``: part of a recording's key."""
    priority: int = 0
    """The higher goes first when requests wait for their turn. Not part of what the model sees."""


class Usage(msgspec.Struct, frozen=True):
    """What a reply has cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    """In US dollars; None where the price is not known."""


class Finish(enum.StrEnum):
    """Why a reply ended."""

    STOP = "stop"
    """The model had said what it wanted."""
    TOOLS = "tools"
    """It wants the results of its calls."""
    LENGTH = "length"
    """It was cut at `max_tokens` or at the end of its context."""
    FILTERED = "filtered"
    """The provider refused to say it."""


class ModelReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered, whole."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = Finish.STOP
    usage: Usage = Usage()
    model: str = ""
    """The model that answered, as the provider calls it."""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of a reply that is being written."""

    text: str
