"""The screen of a conversation: its current state, and the lines above it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import msgspec

from coterie.cli.chat.words import YOU, note, wrapped
from coterie.conversation import (
    AnyConversationEvent,
    Conversation,
    Delivered,
    HandedOver,
    Operation,
    OperationChanged,
    OperationProgressed,
    OperationState,
    TextWritten,
    TurnBegan,
    TurnEnded,
)
from coterie.models import TextMessage


class Screen(ABC):
    """Shows the events of a conversation, on one thread. Other threads read values that are replaced whole, never changed."""

    def __init__(self, chat: Conversation, name: str) -> None:
        self.chat = chat
        self.name = name
        self.operations: tuple[Operation, ...] = ()
        """The running operations that get a progress bar; short ones within a turn get none."""
        self.writing = ""
        """The incomplete text of the running answer."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns."""

    @abstractmethod
    def line(self, text: str, *, style: str = "") -> None:
        """Print a line that stays."""

    @abstractmethod
    def refresh(self) -> None:
        """Redraw the current state."""

    @abstractmethod
    def progressed(self, operation: Operation) -> None:
        """Show the progress of an operation."""

    def begin(self, past: Iterable[TextMessage], operations: Iterable[Operation]) -> None:
        """Show the earlier messages and the running operations."""
        for each in past:
            self.line(wrapped(YOU if each.role == "user" else self.name, each.text, self.width), style="class:past")
        self.operations = tuple(operations)
        for operation in self.operations:
            self.progressed(operation)
        self.refresh()

    def show(self, event: AnyConversationEvent) -> None:
        """Show an event."""
        match event:
            case TurnBegan():
                self.user_message(event.text)
            case TextWritten():
                self.writing += event.text
            case TurnEnded():
                self.writing = ""
                self.line(wrapped(event.speaker or self.name, event.text, self.width), style="class:answer")
                if event.problem:
                    self.line(f"  ({event.problem})", style="class:problem")
            case HandedOver():
                why = f": {event.reason}" if event.reason else ""
                self.line(note(f"{event.target} speaks now{why}", self.width), style="class:note")
            case Delivered():
                self.writing = ""
                self.line(wrapped(self.name, event.text, self.width), style="class:result")
            case OperationChanged():
                self._changed(event.operation)
            case OperationProgressed():
                self._progressed(event)
            case _:
                return
        self.refresh()

    def user_message(self, text: str) -> None:
        """Show a message of the user."""
        self.line(wrapped(YOU, text, self.width), style="class:you")

    def problem(self, text: str) -> None:
        """Show an error."""
        self.line(f"  {text}", style="class:problem")

    def _changed(self, operation: Operation) -> None:
        others = [each for each in self.operations if each.number != operation.number]
        before = next((each for each in self.operations if each.number == operation.number), None)
        if before is not None and before.attempt == operation.attempt and before.fraction > operation.fraction:
            # The event of a progress comes before the operation itself is updated.
            operation = msgspec.structs.replace(operation, fraction=before.fraction, line=before.line)
        self.operations = tuple(others if operation.ended else sorted([*others, operation], key=_order))
        if operation.background or operation.state not in _MOMENTARY:
            self.progressed(operation)

    def _progressed(self, event: OperationProgressed) -> None:
        changed = tuple(
            msgspec.structs.replace(each, fraction=event.fraction, line=event.line) if each.number == event.operation else each
            for each in self.operations
        )
        self.operations = changed
        for each in changed:
            if each.number == event.operation:
                self.progressed(each)


_MOMENTARY = (OperationState.RUNNING, OperationState.SUCCEEDED, OperationState.FAILED)
"""States of operations for which a turn waits; the turn itself reports their results."""


def _order(operation: Operation) -> tuple[bool, int, int]:
    waits = operation.state is OperationState.QUEUED
    return waits, operation.place if waits else 0, operation.number
