"""What is said to the agent of a conversation."""

from __future__ import annotations

import msgspec

from coterie.conversation.operations.operation import CancelAnswer, Operation
from coterie.messaging import Message, Request


class MessageAccepted(msgspec.Struct, frozen=True):
    """A message of the user is in the log."""

    turn: int
    after: int
    """The id of an event before its first."""


class SendMessage(Request[MessageAccepted]):
    """The user says something."""

    text: str
    id: str = ""


class CancelOperation(Request[CancelAnswer]):
    """An operation is to stop."""

    number: int


class Reorder(Request[tuple[Operation, ...]]):
    """A queued operation is to have another place."""

    number: int
    place: int


class Resolve(Request[Operation]):
    """Somebody knows what became of an operation."""

    number: int
    state: str
    detail: str = ""


class WaitUntilIdle(Request[None]):
    """Somebody waits for all to be quiet."""


class AwaitReady(Request[int]):
    """Somebody wants to know when it has been taken up, and the id of its newest event then."""


class AttemptProgressed(Message):
    """An attempt has made progress."""

    serial: int


class AttemptEnded(Message):
    """An attempt has ended."""

    serial: int
