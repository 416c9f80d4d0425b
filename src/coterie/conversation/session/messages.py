"""The messages to the agent of a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from coterie.conversation.operations.operation import CancelAnswer, Operation
from coterie.messaging import Message, Request
from coterie.models import Attachment, ToolDefinition


class MessageAccepted(msgspec.Struct, frozen=True):
    """The reply to `SendMessage`: the message is in the log."""

    turn: int
    after: int
    """The id to read its events from."""


class SendMessage(Request[MessageAccepted]):
    """A message of the user."""

    text: str
    id: str = ""
    schema: dict[str, Any] | None = None
    """The JSON schema of the answer; None for text."""
    attachments: tuple[Attachment, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    """The front end's own tools, for this turn."""


class SupplyResult(Request[int]):
    """The result of a call of a front end's own tool; the reply is the turn that waits for it, or 0."""

    call: str
    content: str
    failed: bool = False


class StopTurn(Request[bool]):
    """Stop the answer that is being written; the reply is whether there was one."""

    turn: int = 0
    """Only the answer of this turn; 0 for any."""


class CallTool(Request[Operation]):
    """Call a tool for a program, without a turn."""

    tool: str
    arguments: dict[str, Any]


class AwaitOutcome(Request[Operation]):
    """Wait until an operation has ended, or its outcome is unknown."""

    number: int


class CancelOperation(Request[CancelAnswer]):
    """Ask an operation to stop."""

    number: int


class Reorder(Request[tuple[Operation, ...]]):
    """Move a queued operation."""

    number: int
    place: int


class ApproveOperation(Request[Operation]):
    """Approve an operation that awaits approval."""

    number: int
    person: str
    consent: int = 0
    """The number of the request; 0 for the latest."""


class RejectOperation(Request[Operation]):
    """Reject an operation that awaits approval."""

    number: int
    person: str
    why: str = ""
    consent: int = 0


class EditOperation(Request[Operation]):
    """Change the arguments of an operation that awaits approval."""

    number: int
    person: str
    arguments: dict[str, Any]


class Resolve(Request[Operation]):
    """Resolve an operation of unknown outcome."""

    number: int
    state: str
    detail: str = ""
    person: str = ""


class DrainSession(Request[None]):
    """End what runs in an orderly way, before the agent is stopped; the reply comes when no more can be known."""

    grace: float
    """Seconds that running work has to end by itself."""


class WriteMemories(Request[int]):
    """Write down what is worth to remember of the user; the reply is the number of memories."""


class WaitUntilIdle(Request[None]):
    """Wait until the conversation is idle."""


class AwaitReady(Request[int]):
    """Wait until the conversation is restored; the reply is the id of its newest event."""


class AttemptBegan(Message):
    """A thread has begun the function of a running attempt."""

    serial: int


class AttemptProgressed(Message):
    """An attempt reported progress."""

    serial: int


class AttemptEnded(Message):
    """An attempt ended."""

    serial: int
