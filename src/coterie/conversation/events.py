"""The events of a conversation for front ends: frozen values in one order, each with an id to resume from."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.conversation.operations.operation import Operation


class Lane(enum.StrEnum):
    """The set of tools that a turn may use."""

    MAIN = "main"
    """All tools: no operation is queued or running."""
    SECOND = "second"
    """Safe tools only: an operation is queued or running."""


class TurnOutcome(enum.StrEnum):
    """The outcome of a turn."""

    ANSWERED = "answered"
    CUT = "cut"
    """The answer was cut short, because a result had waited for it long enough. The text so far is kept."""
    STOPPED = "stopped"
    """The front end stopped the answer. The text so far is kept."""
    FAILED = "failed"
    """The model gave no answer; the text says so."""


class ConversationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the events of a conversation."""

    id: int
    """Increases from event to event. `Conversation.events(after=id)` continues after it, also after a restart."""
    at: float
    """Wall time in seconds."""


class TurnBegan(ConversationEvent, frozen=True, kw_only=True, tag="turn_began"):
    """A message of the user was accepted."""

    turn: int
    text: str
    message: str = ""
    """The front end's own id of the message."""
    attached: int = 0
    """Number of images and files in it."""


class TextWritten(ConversationEvent, frozen=True, kw_only=True, tag="text_written"):
    """A piece of an answer or a delivery. The pieces that one reader gets make up the text, however slow the reader is.

    Single pieces are not kept for long. A reader that falls behind, or comes late, gets the rest in one piece, when the
    text is complete.
    """

    turn: int
    """The turn that it answers; for a delivery the latest turn."""
    text: str
    delivery: bool = False
    """True for part of a delivery, False for part of an answer."""
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
    """The model got the reply to a call: the result, the reason of a refusal, or that it continues in the background."""

    turn: int
    call: str
    tool: str
    content: str
    failed: bool = False
    operation: int | None = None
    """The number of the operation that continues; None if the call is over."""


class OperationChanged(ConversationEvent, frozen=True, kw_only=True, tag="operation_changed"):
    """An operation awaits approval, was queued, started, asked to stop, moved to the background, or ended."""

    operation: Operation


class OperationProgressed(ConversationEvent, frozen=True, kw_only=True, tag="operation_progressed"):
    """A running operation reported progress."""

    operation: int
    """Its number."""
    tool: str
    fraction: float
    line: str


class HandedOver(ConversationEvent, frozen=True, kw_only=True, tag="handed_over"):
    """An assistant of a team has handed the conversation over to another, which speaks from now on."""

    turn: int
    source: str
    """The name of the assistant that spoke until now."""
    target: str
    reason: str = ""


class ResultsAwaited(ConversationEvent, frozen=True, kw_only=True, tag="results_awaited"):
    """The turn waits for the results of the front end's own tools, which `Conversation.supply` takes."""

    turn: int
    calls: tuple[str, ...]
    """The ids of the calls, which were announced by `ToolCalled`."""


class TurnEnded(ConversationEvent, frozen=True, kw_only=True, tag="turn_ended"):
    """A turn ended."""

    turn: int
    lane: Lane
    outcome: TurnOutcome
    text: str
    """The whole answer."""
    problem: str = ""
    """The reason of a poor answer, for operators."""
    speaker: str = ""
    """The name of the assistant that spoke last, in a team."""


class Delivered(ConversationEvent, frozen=True, kw_only=True, tag="delivered"):
    """The outcomes of operations were delivered to the user. Each outcome is delivered once."""

    operations: tuple[Operation, ...]
    text: str
    merged: bool
    """True if a model worded it, because other messages came in between."""


AnyConversationEvent: TypeAlias = (
    TurnBegan
    | TextWritten
    | ToolCalled
    | ToolReturned
    | OperationChanged
    | OperationProgressed
    | HandedOver
    | ResultsAwaited
    | TurnEnded
    | Delivered
)
"""Any event of a conversation. Events of log entries keep their ids after a restart."""
