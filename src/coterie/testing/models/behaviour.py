"""What a model server does with one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """How one request is served. The plain one is answered well, at once."""

    text: str | None = None
    """The text of the reply; None for ``you said`` and the last thing that was said, or a value that fits the schema."""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Tools that the reply calls, with arguments; a string is sent as it is, JSON or not."""
    delay: float = 0.0
    """Seconds before anything is answered."""
    pace: float = 0.0
    """Seconds between the pieces of a stream."""
    status: int = 200
    """The HTTP status; an error is answered from 400 on."""
    headers: Mapping[str, str] = {}
    """More headers, such as ``Retry-After``."""
    error: str = ""
    """What an error says."""
    code: str | None = None
    """Its code, such as ``context_length_exceeded``."""
    body: str | None = None
    """Sent as it is instead of a reply: broken JSON, or nonsense. In a stream, instead of its second piece."""
    break_after: int | None = None
    """Pieces of a stream after which the connection is cut; without a stream, cut before the answer if it is 0."""
    hang: bool = False
    """Whether nothing ever comes: before the answer, or after `break_after` pieces of a stream."""
    usage: tuple[int, int] | None = None
    """Tokens of prompt and reply; None for a token a word."""
    finish: str | None = None
    """Why it ended, in the provider's words."""

    @classmethod
    def rate_limited(cls, retry_after: str | float | None = None) -> Served:
        """Answer 429, with a `Retry-After` of seconds or a date."""
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        return cls(status=429, headers=headers, error="Rate limit reached", code="rate_limit_exceeded")

    @classmethod
    def failing(cls, status: int = 500) -> Served:
        """Answer a fault of the server."""
        return cls(status=status, error="The server had an error")

    @classmethod
    def too_long(cls) -> Served:
        """Answer that the context is too long."""
        text = "This model's maximum context length is 128 tokens. Please reduce the length of the messages."
        return cls(status=400, error=text, code="context_length_exceeded")
