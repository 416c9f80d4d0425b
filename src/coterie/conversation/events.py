"""What a conversation tells a front end, as it happens: frozen values in one order, each with an id to resume from."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.conversation.operations.operation import Operation


class Lane(enum.StrEnum):
    """Which tools a turn may use."""

    MAIN = "main"
    """All of them: nothing else is under way."""
    SECOND = "second"
    """The safe ones: something runs, or waits to."""


class TurnOutcome(enum.StrEnum):
    """How a turn ended."""

    ANSWERED = "answered"
    CUT = "cut"
    """The answer was cut short, because a result had waited for its end long enough. What was said is kept."""
    FAILED = "failed"
    """The model gave no answer; the text says so."""


class ConversationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the events of a conversation."""

    id: int
    """Grows from event to event. `Conversation.events(after=id)` goes on behind it, also after a restart."""
    at: float
    """Wall time in seconds."""


class TurnBegan(ConversationEvent, frozen=True, kw_only=True, tag="turn_began"):
    """A message of the user was taken in."""

    turn: int
    text: str


class TextWritten(ConversationEvent, frozen=True, kw_only=True, tag="text_written"):
    """A piece of what is being said. The pieces that one reader gets make up the text, however slow the reader is.

    Single pieces are not kept for long. A reader that falls behind, or comes late, gets the rest in one piece, when the
    text is complete.
    """

    turn: int
    """The turn that it answers; for a delivery the latest turn there was."""
    text: str
    delivery: bool = False
    """Whether it is part of a delivery, and not of an answer."""
    offset: int = 0
    """Characters of the same text before it. An answer has one text before each batch of tool calls, and one at its end;
    each begins at 0."""


class ToolCalled(ConversationEvent, frozen=True, kw_only=True, tag="tool_called"):
    """The model has called a tool."""

    turn: int
    call: str
    tool: str
    arguments: Mapping[str, Any]
    """As the model gave them."""


class ToolReturned(ConversationEvent, frozen=True, kw_only=True, tag="tool_returned"):
    """The model has been told what became of a call: the result, why it was refused, or that it goes on in the background."""

    turn: int
    call: str
    tool: str
    content: str
    failed: bool = False
    operation: int | None = None
    """The number of the operation that goes on; None if the call is over."""


class OperationChanged(ConversationEvent, frozen=True, kw_only=True, tag="operation_changed"):
    """An operation went to the queue, began, was asked to stop, went to the background, or ended."""

    operation: Operation


class OperationProgressed(ConversationEvent, frozen=True, kw_only=True, tag="operation_progressed"):
    """A running operation has said how far it is."""

    operation: int
    """Its number."""
    tool: str
    fraction: float
    line: str


class TurnEnded(ConversationEvent, frozen=True, kw_only=True, tag="turn_ended"):
    """A turn is over."""

    turn: int
    lane: Lane
    outcome: TurnOutcome
    text: str
    """All that was said in answer."""
    problem: str = ""
    """Why there is no better answer, for those who run the service."""


class Delivered(ConversationEvent, frozen=True, kw_only=True, tag="delivered"):
    """The user was told what became of operations. Each outcome is delivered once."""

    operations: tuple[Operation, ...]
    text: str
    merged: bool
    """Whether a model put it into words, because something was said meanwhile."""


Event: TypeAlias = (
    TurnBegan | TextWritten | ToolCalled | ToolReturned | OperationChanged | OperationProgressed | TurnEnded | Delivered
)
"""All that there is. The id of one that is in the log is the same after a restart."""
