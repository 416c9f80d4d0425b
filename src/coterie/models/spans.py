"""The spans of model requests, by the GenAI conventions of OpenTelemetry (https://opentelemetry.io/docs/specs/semconv/gen-ai/)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import msgspec

from coterie.models.values import ModelReply, ModelRequest, PromptMessage, TextMessage, ToolCall
from coterie.telemetry import spans

_within: ContextVar[bool] = ContextVar("coterie_chat", default=False)
"""Whether the running code makes a request that has a span already."""


def begin_chat(model: str, request: ModelRequest) -> spans.TraceSpan:
    """Begin the span of a request, unless the caller of this has begun one; see `nest_chat`."""
    if not spans.is_tracing() or _within.get():
        return spans.NO_SPAN
    provider, colon, name = model.rpartition(":")
    attributes: dict[str, spans.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": name,
        "gen_ai.provider.name": provider if colon else "_OTHER",
    }
    if request.temperature is not None:
        attributes["gen_ai.request.temperature"] = request.temperature
    if request.max_tokens is not None:
        attributes["gen_ai.request.max_tokens"] = request.max_tokens
    if request.agent:
        attributes["gen_ai.agent.name"] = request.agent
    if request.step:
        attributes["coterie.step"] = request.step
    return spans.begin(f"chat {name}", attributes, kind="client")


def nest_chat(span: spans.TraceSpan) -> None:
    """Have no second span made of the request that this task makes next, if it has one."""
    if span is not spans.NO_SPAN:
        _within.set(True)


def end_chat(
    span: spans.TraceSpan,
    request: ModelRequest,
    reply: ModelReply | None,
    error: BaseException | None = None,
    mask: Callable[[str], str] = str,
) -> None:
    """End the span of a request with its reply, or its error. `mask` removes secrets from recorded content."""
    if span is spans.NO_SPAN:
        return
    if request.instructions:
        span.set_content("gen_ai.system_instructions", lambda: mask(_json([_text(request.instructions)])))
    span.set_content("gen_ai.input.messages", lambda: mask(_json([_message(each) for each in request.exchanges])))
    if reply is not None:
        span.set(
            {
                "gen_ai.response.model": reply.model,
                "gen_ai.response.finish_reasons": [str(reply.finish)],
                "gen_ai.usage.input_tokens": reply.usage.input_tokens,
                "gen_ai.usage.output_tokens": reply.usage.output_tokens,
            }
        )
        if reply.usage.cost is not None:
            span.set({"coterie.cost": reply.usage.cost})
        parts = [_text(reply.text)] if reply.text else []
        parts += [_part(call) for call in reply.calls]
        span.set_content(
            "gen_ai.output.messages",
            lambda: mask(_json([{"role": "assistant", "parts": parts, "finish_reason": str(reply.finish)}])),
        )
    span.end(error)


def _message(message: PromptMessage) -> dict[str, Any]:
    if isinstance(message, TextMessage):
        return {"role": message.role, "parts": [_text(message.text)]}
    return {"role": "assistant" if isinstance(message, ToolCall) else "tool", "parts": [_part(message)]}


def _part(message: Any) -> dict[str, Any]:
    if isinstance(message, ToolCall):
        return {"type": "tool_call", "id": message.id, "name": message.name, "arguments": message.arguments}
    return {"type": "tool_call_response", "id": message.id, "response": message.content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
