"""Answers of the model beside all conversations."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.conversation import Conversations
from coterie.models import TextMessage

_INSTRUCTIONS = "Do the small task that a chat program asks for. Answer with nothing but the result, in the form that it names."


async def answer_aside(conversations: Conversations, lines: Iterable[tuple[str, str]]) -> str:
    """Return the model's answer to messages, given as role and text, that belong to no conversation. Raises `ModelError`."""
    exchanges = [TextMessage("assistant" if role == "assistant" else "user", text) for role, text in lines]
    return await conversations.ask_model(_INSTRUCTIONS, exchanges)
