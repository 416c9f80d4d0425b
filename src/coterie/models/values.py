"""Requests and replies of models: frozen, encodable, the same for every provider."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A tool call requested by a model."""

    id: str
    """Pairs the call with its result; unique in a conversation."""
    name: str
    arguments: Mapping[str, Any] = {}
    """As the model gave them, not yet checked against the tool's schema."""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """The result of a tool call."""

    id: str
    """The id of the call."""
    name: str
    content: str
    failed: bool = False
    """Whether `content` is an error text; the model may try again."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """An image or another file in a message: its bytes, or its address."""

    media_type: str
    """Such as ``image/png`` or ``application/pdf``."""
    data: bytes = b""
    url: str = ""
    """An address that the provider can read; without it `data` is sent."""
    name: str = ""


class TextMessage(msgspec.Struct, frozen=True, tag="spoken", omit_defaults=True):
    """A text message of the user or the model."""

    role: str
    """``user`` or ``assistant``."""
    text: str
    attachments: tuple[Attachment, ...] = ()
    """Images and files, for models that take them."""


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
    """The conversation so far, oldest first; a result follows each call."""
    tools: tuple[ToolDefinition, ...] = ()
    schema: Mapping[str, Any] | None = None
    """The JSON schema that the text of the reply must fit, an object; None for free text."""
    temperature: float | None = None
    """From 0 to 2; None for the provider's default."""
    max_tokens: int | None = None
    """The maximum length of the reply; None for the provider's default."""
    agent: str = ""
    """The agent that asks; budgets and recordings are kept by agent."""
    step: str = ""
    """Names the request among those of the agent, for example ``round 3/decide``; part of a recording's key."""
    priority: int = 0
    """Waiting requests of a higher priority go first. The model does not see it."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens and cost of a reply."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    """In US dollars; None for an unknown price."""


class Finish(enum.StrEnum):
    """The reason for which a reply ended."""

    STOP = "stop"
    """The reply is complete."""
    TOOLS = "tools"
    """The model waits for the results of its calls."""
    LENGTH = "length"
    """The reply was cut at `max_tokens` or at the end of the context."""
    FILTERED = "filtered"
    """The provider's filter refused the reply."""


class ModelReply(msgspec.Struct, frozen=True, kw_only=True):
    """The whole reply of a model."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = Finish.STOP
    usage: Usage = Usage()
    model: str = ""
    """The model that answered, as the provider calls it."""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of a streamed reply."""

    text: str
