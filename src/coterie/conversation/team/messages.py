"""The messages to an assistant that is an agent."""

from __future__ import annotations

import msgspec

from coterie.messaging import Message, Request


class AssistantAnswer(msgspec.Struct, frozen=True):
    """The answer of an assistant."""

    text: str
    speaker: str = ""
    """The name of the assistant that spoke last, in a team."""


class AskAssistant(Request[AssistantAnswer]):
    """Send a message to an assistant; the answer is that of its turn."""

    text: str
    thread: str = ""
    """The name of the conversation; an assistant has any number at the same time. A `DurableAssistant` has that of its key."""
    user: str = ""
    id: str = ""
    """An id of your own: the same message is not answered again, so an ask may be repeated."""
    whole: bool = False
    """Wait for the operations that the turn has begun, too; the answer has what they came to."""


class StopAnswer(Message):
    """Stop the work on a thread: its answer, and its operations, as a cancel would."""

    thread: str
    user: str = ""
