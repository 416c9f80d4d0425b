"""Translate requests to Pydantic AI's messages, and its responses to replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

from pydantic_ai import messages
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition as ProviderTool

from coterie.errors import ModelError
from coterie.errors.models import MalformedReply
from coterie.kernel import Clock
from coterie.models.providers.errors import translate_error
from coterie.models.providers.pricing import PublicPrices
from coterie.models.redaction import Redactor
from coterie.models.values import (
    Attachment,
    Finish,
    ModelReply,
    ModelRequest,
    PromptMessage,
    TextDelta,
    TextMessage,
    ToolCall,
    ToolResult,
    Usage,
)

_FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH, "tool_call": Finish.TOOLS, "content_filter": Finish.FILTERED}


class ProviderTranslator:
    """Asks models through Pydantic AI. Safe from any thread: it holds only settings and prices."""

    def __init__(self, name: str, clock: Clock, redactor: Redactor) -> None:
        self._name = name
        self._clock = clock
        self._redactor = redactor
        self._prices = PublicPrices()

    async def ask(self, model: Model, request: ModelRequest) -> ModelReply:
        """Return the reply of a model."""
        response = await model_request(
            model, _history(request), model_settings=_settings(request), model_request_parameters=_parameters(request, model)
        )
        return self._reply(response)

    async def stream(self, model: Model, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the pieces of a model's reply, and the whole reply last."""
        opened = model_request_stream(
            model, _history(request), model_settings=_settings(request), model_request_parameters=_parameters(request, model)
        )
        async with opened as response:
            try:
                async for event in response:
                    text = _whole(_text(event))
                    if text:
                        yield TextDelta(text)
            except GeneratorExit:
                # The reader has stopped: end the call now, not at garbage collection.
                await response.cancel()
                raise
            yield self._reply(response.get())

    def error(self, error: Exception) -> ModelError:
        """Return an exception of Pydantic AI, or of the provider's client, as a `ModelError` without keys."""
        return translate_error(self._name, error, self._redactor, self._clock)

    def price(self, input_tokens: int, output_tokens: int, model: Model) -> float | None:
        """Return the price of these tokens of a model, in US dollars; None if it is unknown."""
        return self._prices.of_tokens(model, input_tokens, output_tokens)

    def _reply(self, response: messages.ModelResponse) -> ModelReply:
        text = _whole("".join(part.content for part in response.parts if isinstance(part, messages.TextPart)))
        calls = tuple(self._call(part) for part in response.parts if isinstance(part, messages.ToolCallPart))
        finish = _FINISHES.get(response.finish_reason or "", Finish.TOOLS if calls else Finish.STOP)
        if not text and not calls and response.finish_reason in (None, "error"):
            raise MalformedReply(self._name, "it holds neither text nor calls")
        usage = response.usage
        return ModelReply(
            text=text,
            calls=calls,
            finish=Finish.TOOLS if calls and finish is Finish.STOP else finish,
            usage=Usage(usage.input_tokens, usage.output_tokens, self._prices.of_reply(response)),
            model=response.model_name or self._name,
        )

    def _call(self, part: messages.ToolCallPart[Any]) -> ToolCall:
        arguments = part.args
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments) if arguments.strip() else {}
            except ValueError as error:
                reason = f"the arguments of {part.tool_name} are not JSON: {error}"
                raise MalformedReply(self._name, reason, self._redactor.text(str(part.args))) from None
        if not isinstance(arguments, dict | None):
            raise MalformedReply(self._name, f"the arguments of {part.tool_name} are not an object", str(part.args))
        try:
            json.dumps(arguments, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise MalformedReply(self._name, f"the arguments of {part.tool_name} hold a lone surrogate") from None
        return ToolCall(id=part.tool_call_id, name=part.tool_name, arguments=arguments or {})


def _settings(request: ModelRequest) -> ModelSettings:
    settings = ModelSettings()
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.max_tokens is not None:
        settings["max_tokens"] = request.max_tokens
    return settings


def _parameters(request: ModelRequest, model: Model) -> ModelRequestParameters:
    tools = [
        ProviderTool(name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters))
        for tool in request.tools
    ]
    if request.schema is None:
        return ModelRequestParameters(function_tools=tools)
    wanted = OutputObjectDefinition(json_schema=dict(request.schema), name=str(request.schema.get("title") or "answer"))
    # A model without structured output gets the schema in its prompt.
    mode: Any = "native" if model.profile.get("supports_json_schema_output") else "prompted"
    return ModelRequestParameters(function_tools=tools, output_mode=mode, output_object=wanted)


def _history(request: ModelRequest) -> list[messages.ModelMessage]:
    """Return the history, with adjacent items of the user, or of the model, in one message."""
    instructions = request.instructions or None
    history: list[messages.ModelMessage] = []
    for ours, group in groupby(request.exchanges, key=_is_of_model):
        if ours:
            history.append(messages.ModelResponse(parts=[_said(each) for each in group]))
        else:
            history.append(messages.ModelRequest(parts=[_heard(each) for each in group], instructions=instructions))
    if not history or isinstance(history[-1], messages.ModelResponse):
        history.append(messages.ModelRequest(parts=[], instructions=instructions))
    return history


def _is_of_model(exchange: PromptMessage) -> bool:
    return isinstance(exchange, ToolCall) or (isinstance(exchange, TextMessage) and exchange.role == "assistant")


def _said(exchange: PromptMessage) -> messages.ModelResponsePart:
    if isinstance(exchange, ToolCall):
        return messages.ToolCallPart(exchange.name, dict(exchange.arguments), exchange.id)
    assert isinstance(exchange, TextMessage)
    return messages.TextPart(exchange.text)


def _heard(exchange: PromptMessage) -> messages.ModelRequestPart:
    if isinstance(exchange, ToolResult):
        outcome: Any = "failed" if exchange.failed else "success"
        return messages.ToolReturnPart(exchange.name, exchange.content, exchange.id, outcome=outcome)
    assert isinstance(exchange, TextMessage)
    if not exchange.attachments:
        return messages.UserPromptPart(exchange.text)
    return messages.UserPromptPart([exchange.text, *map(_attached, exchange.attachments)])


_ADDRESSES = {"image": messages.ImageUrl, "audio": messages.AudioUrl, "video": messages.VideoUrl}


def _attached(attachment: Attachment) -> messages.UserContent:
    if not attachment.url:
        return messages.BinaryContent(attachment.data, media_type=attachment.media_type)
    kind: Any = _ADDRESSES.get(attachment.media_type.partition("/")[0], messages.DocumentUrl)
    found: messages.UserContent = kind(attachment.url, media_type=attachment.media_type)
    return found


def _whole(text: str) -> str:
    """Return a text with lone surrogates replaced: JSON may hold them, but they cannot be sent or recorded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _text(event: object) -> str:
    if isinstance(event, messages.PartStartEvent) and isinstance(event.part, messages.TextPart):
        return event.part.content
    if isinstance(event, messages.PartDeltaEvent) and isinstance(event.delta, messages.TextPartDelta):
        return event.delta.content_delta
    return ""
