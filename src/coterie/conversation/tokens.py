"""Estimates of the length of prompts in tokens, corrected by what the provider counts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from coterie.models import Attachment, ModelReply, PromptMessage, TextMessage, ToolDefinition, ToolResult

_ASCII, _BYTES = 3.2, 2.4
"""Characters of ASCII text, and bytes of other text, for one token. Tokenizers of today need fewer tokens for most texts."""
_IMAGE, _FILE = 1_600, 6
"""Tokens of an image of usual size, and bytes of another file for one token."""
_EACH = 8
"""Tokens around a message, call or result."""
_LEAST, _MOST = 0.25, 8.0
_RELAX = 0.9
"""How quickly a correction falls when the provider counts less than was expected."""


def tokens_in(text: str) -> int:
    """Return the estimated tokens of a text, more rather than fewer."""
    return int(len(text) / _ASCII if text.isascii() else len(text.encode(errors="replace")) / _BYTES) + 1


def tokens_of(messages: Iterable[PromptMessage]) -> int:
    """Return the estimated tokens of messages."""
    total = 0
    for each in messages:
        if isinstance(each, TextMessage):
            total += _EACH + tokens_in(each.text) + sum(map(_tokens_of_file, each.attachments))
        elif isinstance(each, ToolResult):
            total += _EACH + tokens_in(each.content)
        else:
            total += _EACH + tokens_in(each.name) + tokens_in(str(each.arguments))
    return total


def _tokens_of_file(attachment: Attachment) -> int:
    if attachment.media_type.startswith("image/") or not attachment.data:
        return _IMAGE
    return len(attachment.data) // _FILE + _IMAGE


def tokens_of_tools(tools: Iterable[ToolDefinition]) -> int:
    """Return the estimated tokens of definitions of tools."""
    return sum(_EACH + tokens_in(msgspec.json.encode(each).decode()) for each in tools)


class TokenMeter:
    """Corrects estimates by the counts that a provider gives with its replies.

    Safe from any thread: the correction is one number, and a lost update does no harm.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        """The tokens that the provider counts for one that is estimated, rather too many than too few."""

    def learn(self, estimated: int, reply: ModelReply) -> None:
        """Learn from a reply to a prompt of that estimated length."""
        if reply.usage.input_tokens > 0 and estimated > 0:
            seen = reply.usage.input_tokens / estimated
            self.factor = min(_MOST, max(_LEAST, seen, self.factor * _RELAX))
