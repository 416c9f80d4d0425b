"""The spans of a conversation: turns, and operations with their attempts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import Context, copy_context

import msgspec

from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.tools.attempt import AttemptOutcome, AttemptPurpose
from coterie.conversation.tools.redaction import SecretRedactor
from coterie.conversation.tools.schema import texts_of
from coterie.conversation.tools.tool import Tool
from coterie.models import ModelReply, ToolCall
from coterie.telemetry import spans

_AGENT = "assistant"
"""The name of an assistant without a team. Names of spans are few: the conversation is an attribute."""


class SessionSpans:
    """The spans of one conversation. Only its thread uses them; without a `Tracing` it makes none.

    A turn belongs to the trace of the message that it answers. An operation belongs to the turn that called it, also if it ends
    long after that; its attempts are within it.
    """

    def __init__(self, conversation: str) -> None:
        self._about: dict[str, spans.Value] = {"gen_ai.agent.name": _AGENT, "gen_ai.conversation.id": conversation}
        self._redactor = SecretRedactor()
        self._senders: dict[int, Context] = {}
        self._operations: dict[int, spans.TraceSpan] = {}

    def received(self, turn: int) -> None:
        """Note that the running code has brought the message of a turn: the turn will be within its span."""
        if spans.is_tracing():
            self._senders[turn] = copy_context()

    def turn(self, turn: int, agent: str) -> AbstractContextManager[spans.TraceSpan]:
        """Return the span of a turn, as a context manager."""
        parent = self._senders.pop(turn, None)
        agent = agent or _AGENT
        about = {"gen_ai.operation.name": "invoke_agent", **self._about, "gen_ai.agent.name": agent, "coterie.turn": turn}
        return spans.span(f"invoke_agent {agent}", about, parent=parent)

    def describe_turn(self, span: spans.TraceSpan, said: str, answer: str) -> None:
        """Record the texts of a turn, if the trace records content."""
        span.set_content("gen_ai.input.messages", lambda: self.mask(_message("user", said)))
        span.set_content("gen_ai.output.messages", lambda: self.mask(_message("assistant", answer)))

    def without_secrets(self, reply: ModelReply | None, tools: Mapping[str, Tool]) -> ModelReply | None:
        """Return a reply of the model with masks for the secrets in its calls, which `mask` knows from now on."""
        return (
            None
            if reply is None
            else msgspec.structs.replace(reply, calls=tuple(self._masked(each, tools) for each in reply.calls))
        )

    def _masked(self, call: ToolCall, tools: Mapping[str, Tool]) -> ToolCall:
        inner = call.arguments.get("arguments")
        if call.name == "request" and isinstance(inner, Mapping):
            masked = self._masked(ToolCall(call.id, str(call.arguments.get("tool")), inner), tools)
            return msgspec.structs.replace(call, arguments={**call.arguments, "arguments": masked.arguments})
        tool = tools.get(call.name)
        if tool is None or not tool.arguments.secrets:
            return call
        self._redactor.add(texts_of([call.arguments.get(name) for name in tool.arguments.secrets]))
        return msgspec.structs.replace(call, arguments=tool.arguments.mask(call.arguments, call.arguments))

    def mask(self, text: str) -> str:
        """Return a text without the secrets of earlier calls."""
        return self._redactor.mask(text)

    def delivery(self) -> AbstractContextManager[spans.TraceSpan]:
        """Return the span of a delivery of results between turns, as a context manager."""
        return spans.span("deliver results", self._about)

    def called(self, operation: Operation) -> None:
        """Begin the span of an operation, within the running turn."""
        if not spans.is_tracing():
            return
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": operation.tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": operation.call,
            "coterie.operation": operation.id,
            **self._about,
        }
        span = self._operations[operation.number] = spans.begin(f"execute_tool {operation.tool}", about)
        arguments = operation.arguments
        span.set_content("gen_ai.tool.call.arguments", lambda: self.mask(msgspec.json.encode(arguments, enc_hook=str).decode()))

    def attempt(self, operation: Operation, purpose: AttemptPurpose) -> spans.TraceSpan:
        """Begin the span of an attempt, within that of its operation."""
        if not spans.is_tracing():
            return spans.NO_SPAN
        if operation.number not in self._operations:
            # The operation was called before the process, or the trace, began.
            self.called(operation)
        with self._operations[operation.number].within():
            return spans.begin(f"attempt {purpose}", {"coterie.attempt": operation.attempt, "gen_ai.tool.name": operation.tool})

    def ended(self, operation: Operation) -> None:
        """End the span of an operation."""
        span = self._operations.pop(operation.number, None)
        if span is None:
            return
        span.set({"coterie.state": str(operation.state), "coterie.background": operation.background})
        span.set_content("gen_ai.tool.call.result", lambda: self.mask(operation.content))
        if operation.state is not OperationState.SUCCEEDED:
            span.fail(str(operation.state))
        span.end()

    def close(self) -> None:
        """End the spans of all operations that have not ended: the session ends before them."""
        for span in self._operations.values():
            span.set({"coterie.state": "left"})
            span.end()
        self._operations.clear()


def end_attempt(span: spans.TraceSpan, outcome: AttemptOutcome | None) -> None:
    """End the span of an attempt with its outcome; without one it was abandoned."""
    if span is spans.NO_SPAN:
        return
    span.set({"coterie.outcome": "abandoned" if outcome is None else outcome.ending.name.lower()})
    span.end(None if outcome is None else outcome.error)


def _message(role: str, text: str) -> str:
    return msgspec.json.encode([{"role": role, "parts": [{"type": "text", "content": text}]}]).decode()
