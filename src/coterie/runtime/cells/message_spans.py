"""The spans of handled messages, which belong to the trace of their senders."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any

from coterie.runtime.definition.handlers import Handler
from coterie.runtime.references.invocation import CURRENT
from coterie.telemetry import spans


def in_spans(handler: Handler | None, kind: type) -> Handler | None:
    """Return a handler that makes a span of each message of a type; the handler itself while no spans are recorded."""
    if handler is None or not spans.is_tracing():
        return handler
    traced = copy.copy(handler)
    function, name = handler.function, f"handle {kind.__qualname__}"
    if handler.is_async:

        async def handle_async(agent: Any, message: Any) -> Any:
            with _span_of(name, kind):
                value = await function(agent, message)
                _hand_to_commit()
                return value

        traced.function = handle_async
        return traced

    def handle(agent: Any, message: Any) -> Any:
        with _span_of(name, kind):
            value = function(agent, message)
            _hand_to_commit()
            return value

    traced.function = handle
    return traced


def _span_of(name: str, kind: type) -> AbstractContextManager[spans.TraceSpan]:
    invocation = CURRENT.get()
    attributes: dict[str, spans.Value] = {"coterie.message": kind.__qualname__}
    tell = False
    if invocation is not None:
        attributes["coterie.agent"] = invocation.cell.name
        envelope = invocation.envelope
        if envelope is not None:
            tell = envelope.reply is None
            if envelope.sender is not None:
                attributes["coterie.sender"] = str(envelope.sender.address.name)
    return spans.span(name, attributes, kind="consumer", linked=tell)


def _hand_to_commit() -> None:
    """Let what follows a durable agent's handler, its commit, be within the span."""
    invocation = CURRENT.get()
    if invocation is not None and invocation.outbox is not None and invocation.envelope is not None:
        invocation.envelope.context = copy_context()
