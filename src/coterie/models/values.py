"""Requests and replies of models: frozen, encodable, the same for every provider."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A tool call requested by a model."""

    id: str
    """Pairs the call with its result; one of its kind in a conversation."""
    name: str
    arguments: Mapping[str, Any] = {}
    """As the model gave them, not yet checked against the tool's schema."""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """The result of a tool call."""

    id: str
    """That of the call."""
    name: str
    content: str
    failed: bool = False
    """Whether `content` says what went wrong, so that the model may try again."""


class TextMessage(msgspec.Struct, frozen=True, tag="spoken"):
    """A text message of the user or the model."""

    role: str
    """``user`` or ``assistant``."""
    text: str


PromptMessage = TextMessage | ToolCall | ToolResult
"""One message of the history. Adjacent calls were made in parallel."""


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool that a model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """The JSON schema of its arguments, an object."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model, with its whole context."""

    instructions: str = ""
    """The system prompt."""
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
    """Tokens and cost of a reply."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    """In US dollars; None where the price is not known."""


class Finish(enum.StrEnum):
    """The reason for which a reply ended."""

    STOP = "stop"
    """The model had said what it wanted."""
    TOOLS = "tools"
    """It wants the results of its calls."""
    LENGTH = "length"
    """It was cut at `max_tokens` or at the end of its context."""
    FILTERED = "filtered"
    """The provider refused to say it."""


class ModelReply(msgspec.Struct, frozen=True, kw_only=True):
    """The whole reply of a model."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = Finish.STOP
    usage: Usage = Usage()
    model: str = ""
    """The model that answered, as the provider calls it."""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of a reply that is being written."""

    text: str
