"""How many tokens a request will take, as far as can be told before."""

from __future__ import annotations

import msgspec

from coterie.models.values import ModelRequest, Usage

_CHARACTERS = 4
"""Characters of a token: the common rule of thumb for English."""
_FIRST = 256.0
"""Tokens that a reply is believed to have before any was seen."""
_WEIGHT = 0.1
"""How much the newest reply moves what is believed."""


class TokenEstimator:
    """Estimates prompts by their length and replies by those before them.

    Safe from any thread: what is believed is one number, and a correction that another overtakes does no harm.
    """

    def __init__(self) -> None:
        self._reply = _FIRST

    def prompt(self, request: ModelRequest) -> int:
        """Return about how many tokens the prompt has."""
        size = len(request.instructions)
        for each in request.exchanges:
            size += len(msgspec.json.encode(each))
        for tool in request.tools:
            size += len(msgspec.json.encode(tool))
        if request.schema is not None:
            size += len(msgspec.json.encode(request.schema))
        return size // _CHARACTERS + 1

    def reply(self, request: ModelRequest) -> int:
        """Return about how many tokens the reply will have."""
        most = request.max_tokens
        return int(self._reply) if most is None else int(min(self._reply, most))

    def learn(self, usage: Usage) -> None:
        """Correct what is believed by a reply."""
        if usage.output_tokens:
            self._reply += _WEIGHT * (usage.output_tokens - self._reply)
