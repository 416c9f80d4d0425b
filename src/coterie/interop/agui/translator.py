"""Translate the events of conversations to AG-UI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from ag_ui.core import (
    ActivityDeltaEvent,
    ActivitySnapshotEvent,
    BaseEvent,
    CustomEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from coterie.conversation import (
    AnyConversationEvent,
    Delivered,
    HandedOver,
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
"""The activity type of operations."""
_PIECE = 2_000
"""Characters of a whole text in one event: a reader that lost its connection goes on after the pieces that it has."""


class EventTranslator:
    """Translates the events of one stream in order. It tracks the open message and the operations that were sent.

    Message ids contain event ids, so a front end that sends messages back names the events it has: ``answer-`` with the id
    of the turn's first event, ``delivery-`` with the id of the delivery.
    """

    def __init__(self, operations: Iterable[Operation] = (), *, everything: bool = False) -> None:
        self._everything = everything
        self._operations = {each.number: each for each in operations}
        self._shown: set[int] = set()
        self._began: dict[int, int] = {}
        self._open: str | None = None
        self._parts = 0
        self._written = False
        self._supplied: frozenset[str] = frozenset()

    def knows(self, turn: int) -> bool:
        """Return whether it has seen the beginning of a turn."""
        return turn in self._began

    def resume(self, turn: int, began: int, texts: int, supplied: Iterable[str] = ()) -> None:
        """Go on in the middle of a turn, after so many texts. The front end has the results of the calls in `supplied` itself."""
        self._began[turn] = began
        self._parts = texts
        self._supplied = frozenset(supplied)

    def translate(self, event: AnyConversationEvent) -> list[BaseEvent]:
        """Return the AG-UI events of an event; an empty list if AG-UI has no form for it."""
        match event:
            case TurnBegan():
                return self._begin(event)
            case TextWritten(delivery=False) | ToolCalled() | ToolReturned():
                return self._text(event) if isinstance(event, TextWritten) else self._call(event)
            case OperationChanged() | HandedOver():
                made = self.snapshot(event.operation) if isinstance(event, OperationChanged) else _handoff(event)
                return [_at(made, event)]
            case OperationProgressed():
                return self._progress(event)
            case TurnEnded() | Delivered():
                return self._end(event)
            case _:
                pass
        return []

    def _begin(self, event: TurnBegan) -> list[BaseEvent]:
        self._began[event.turn] = event.id
        self._parts, self._written = 0, False
        if not self._everything:
            return []
        name = event.message or f"question-{event.id}"
        return [_at(made, event) for made in whole_message(name, event.text, role="user")]

    def snapshot(self, operation: Operation) -> BaseEvent:
        """Return an operation as a complete activity."""
        before = self._operations.get(operation.number)
        if before is not None and before.attempt == operation.attempt and before.fraction > operation.fraction:
            # Progress events come before the operation itself is updated.
            operation = msgspec.structs.replace(operation, fraction=before.fraction, line=before.line)
        self._shown.add(operation.number)
        self._operations[operation.number] = operation
        return ActivitySnapshotEvent(
            message_id=_name(operation.number), activity_type=ACTIVITY, content=content(operation), replace=True
        )

    def close(self) -> list[BaseEvent]:
        """End the message that is open, if there is one."""
        if self._open is None:
            return []
        name, self._open = self._open, None
        return [TextMessageEndEvent(message_id=name)]

    def _end(self, event: TurnEnded | Delivered) -> list[BaseEvent]:
        if isinstance(event, Delivered):
            # As a whole, so that its id is known from the first word on.
            return self.whole(f"delivery-{event.id}", event)
        if self._written:
            return self.close()
        return self.whole(f"answer-{self._began.get(event.turn, event.id)}", event)

    def whole(self, name: str, event: TurnEnded | Delivered) -> list[BaseEvent]:
        """Return a complete text as one message with the id `name`."""
        if not event.text:
            return self.close()
        pieces = [event.text[start : start + _PIECE] for start in range(0, len(event.text), _PIECE)]
        return [
            *self.close(),
            _at(TextMessageStartEvent(message_id=name, role="assistant"), event),
            *(_at(TextMessageContentEvent(message_id=name, delta=each), event) for each in pieces),
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

    def _call(self, event: ToolCalled | ToolReturned) -> list[BaseEvent]:
        if isinstance(event, ToolReturned):
            if event.call in self._supplied:
                return []
            name = f"result-{event.call}"
            return [
                _at(ToolCallResultEvent(message_id=name, tool_call_id=event.call, content=event.content, role="tool"), event)
            ]
        arguments = json.dumps(msgspec.to_builtins(event.arguments), ensure_ascii=False)
        return [
            *self.close(),
            _at(ToolCallStartEvent(tool_call_id=event.call, tool_call_name=event.tool), event),
            _at(ToolCallArgsEvent(tool_call_id=event.call, delta=arguments), event),
            _at(ToolCallEndEvent(tool_call_id=event.call), event),
        ]

    def _progress(self, event: OperationProgressed) -> list[BaseEvent]:
        events: list[BaseEvent] = []
        operation = self._operations.get(event.operation)
        if operation is None:
            return []
        operation = msgspec.structs.replace(operation, fraction=event.fraction, line=event.line)
        self._operations[event.operation] = operation
        if event.operation not in self._shown:
            events.append(_at(self.snapshot(operation), event))
        patch: list[Any] = [
            {"op": "replace", "path": "/fraction", "value": event.fraction},
            {"op": "replace", "path": "/line", "value": event.line},
        ]
        delta = ActivityDeltaEvent(message_id=_name(event.operation), activity_type=ACTIVITY, patch=patch)
        return [*events, _at(delta, event)]


def whole_message(name: str, text: str, role: Literal["assistant", "user"] = "assistant") -> list[BaseEvent]:
    """Return the events of a message that is known as a whole."""
    return [
        TextMessageStartEvent(message_id=name, role=role),
        TextMessageContentEvent(message_id=name, delta=text or "-"),
        TextMessageEndEvent(message_id=name),
    ]


def content(operation: Operation) -> dict[str, Any]:
    """Return an operation as JSON for front ends."""
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
        "detail": operation.detail,
        "question": operation.question,
        "consent": operation.consent,
        "expiresAt": operation.expires_at,
        "approver": operation.approver,
        "createdAt": operation.created_at,
        "startedAt": operation.started_at,
        "endedAt": operation.ended_at,
    }


def _name(number: int) -> str:
    return f"operation-{number}"


def _handoff(event: HandedOver) -> BaseEvent:
    """Return the event that another assistant speaks from now on; AG-UI has no form of its own for it."""
    said = {"source": event.source, "target": event.target, "reason": event.reason}
    return CustomEvent(name="HANDED_OVER", value=said)


def _at(made: BaseEvent, event: AnyConversationEvent) -> BaseEvent:
    made.timestamp = round(event.at * 1000)
    return made
