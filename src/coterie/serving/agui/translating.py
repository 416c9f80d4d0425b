"""Events of conversations as events of AG-UI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from ag_ui.core import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    BaseEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from coterie.conversation import (
    Delivered,
    Event,
    Operation,
    OperationChanged,
    OperationProgressed,
    TextWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
)

ACTIVITY = "OPERATION"
"""The type of activity that an operation is."""


class Translator:
    """Translates the events of one stream, in their order. Keeps which message is open, and which operations it has shown.

    Messages are named for events of the conversation, so a front end that sends them back says what it has: ``answer-`` and
    the event with which the turn began, ``delivery-`` and the event of the delivery.
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._operations = {each.number: each for each in operations}
        self._shown: set[int] = set()
        self._began: dict[int, int] = {}
        self._open: str | None = None
        self._parts = 0
        self._written = False

    def translate(self, event: Event) -> list[BaseEvent]:
        """Return what an event is in AG-UI; nothing for what has no form there."""
        match event:
            case TurnBegan():
                self._began[event.turn] = event.id
                self._parts, self._written = 0, False
                return []
            case TextWritten(delivery=False):
                return self._text(event)
            case ToolCalled():
                return [*self._close(), *self._call(event)]
            case ToolReturned():
                result = ToolCallResultEvent(
                    message_id=f"result-{event.call}", tool_call_id=event.call, content=event.content, role="tool"
                )
                return [_at(result, event)]
            case OperationChanged():
                return [self._snapshot(event.operation, event)]
            case OperationProgressed():
                return self._progress(event)
            case TurnEnded():
                return self._close() if self._written else self.whole(f"answer-{self._began.get(event.turn, event.id)}", event)
            case Delivered():
                # Whole, so that it has its own name from the first word on.
                return self.whole(f"delivery-{event.id}", event)
            case _:
                return []

    def whole(self, name: str, event: TurnEnded | Delivered) -> list[BaseEvent]:
        """Return a text that is complete as one message, under that name."""
        if not event.text:
            return self._close()
        return [
            *self._close(),
            _at(TextMessageStartEvent(message_id=name, role="assistant"), event),
            _at(TextMessageContentEvent(message_id=name, delta=event.text), event),
            _at(TextMessageEndEvent(message_id=name), event),
        ]

    def _text(self, event: TextWritten) -> list[BaseEvent]:
        events: list[BaseEvent] = []
        if self._open is None:
            self._parts += 1
            name = f"answer-{self._began.get(event.turn, event.id)}"
            self._open = name if self._parts == 1 else f"{name}-{self._parts}"
            events.append(_at(TextMessageStartEvent(message_id=self._open, role="assistant"), event))
        self._written = True
        if event.text:
            events.append(_at(TextMessageContentEvent(message_id=self._open, delta=event.text), event))
        return events

    def _close(self) -> list[BaseEvent]:
        if self._open is None:
            return []
        name, self._open = self._open, None
        return [TextMessageEndEvent(message_id=name)]

    def _call(self, event: ToolCalled) -> list[BaseEvent]:
        arguments = json.dumps(msgspec.to_builtins(event.arguments), ensure_ascii=False)
        return [
            _at(ToolCallStartEvent(tool_call_id=event.call, tool_call_name=event.tool), event),
            _at(ToolCallArgsEvent(tool_call_id=event.call, delta=arguments), event),
            _at(ToolCallEndEvent(tool_call_id=event.call), event),
        ]

    def _snapshot(self, operation: Operation, event: Event) -> BaseEvent:
        self._shown.add(operation.number)
        self._operations[operation.number] = operation
        return _at(
            ActivitySnapshotEvent(
                message_id=_name(operation.number), activity_type=ACTIVITY, content=content(operation), replace=True
            ),
            event,
        )

    def _progress(self, event: OperationProgressed) -> list[BaseEvent]:
        events: list[BaseEvent] = []
        if event.operation not in self._shown:
            operation = self._operations.get(event.operation)
            if operation is None:
                return []
            events.append(self._snapshot(operation, event))
        patch = [
            {"op": "replace", "path": "/fraction", "value": event.fraction},
            {"op": "replace", "path": "/line", "value": event.line},
        ]
        delta = ActivityDeltaEvent(message_id=_name(event.operation), activity_type=ACTIVITY, patch=patch)
        return [*events, _at(delta, event)]


def content(operation: Operation) -> dict[str, Any]:
    """Return an operation as a front end shows it."""
    return {
        "operation": operation.id,
        "tool": operation.tool,
        "arguments": msgspec.to_builtins(operation.arguments),
        "state": str(operation.state),
        "fraction": operation.fraction,
        "line": operation.line,
        "estimate": operation.estimate,
        "background": operation.background,
        "content": operation.content if operation.ended else "",
        "createdAt": operation.created_at,
        "startedAt": operation.started_at,
        "endedAt": operation.ended_at,
    }


def _name(number: int) -> str:
    return f"operation-{number}"


def _at(made: BaseEvent, event: Event) -> BaseEvent:
    made.timestamp = round(event.at * 1000)
    return made
