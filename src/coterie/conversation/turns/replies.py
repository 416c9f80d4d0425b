"""A model's reply in a form that can be kept and acted on, whatever the model gave."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from coterie.conversation.history.plain import plain, plain_text
from coterie.errors import ModelError
from coterie.models import ModelReply, TextDelta, ToolCall

_LONGEST_NAME = 100
_SHOWN = 200
"""Characters of arguments that are none, which the model is shown again."""


def sound(reply: ModelReply) -> ModelReply:
    """Return a reply whose parts are what they should be. Raises `ModelError` for what is no reply.

    Arguments that are no object are kept as one that fits no tool, so that the model is told.
    """
    if not isinstance(reply.text, str):
        raise ModelError(f"the text of the reply is a {type(reply.text).__name__}")
    calls: Any = reply.calls or ()
    if not isinstance(calls, tuple | list) or not all(isinstance(each, ToolCall) for each in calls):
        raise ModelError("the calls of the reply are no tool calls")
    if not all(isinstance(each.name, str) for each in calls):
        raise ModelError("a call of the reply has no name")
    return msgspec.structs.replace(
        reply,
        text=plain_text(reply.text),
        calls=tuple(ToolCall(str(each.id), plain_text(each.name)[:_LONGEST_NAME], _object(each.arguments)) for each in calls),
    )


def piece_of(piece: TextDelta) -> str:
    """Return the text of a piece of a reply. Raises `ModelError` for what is none."""
    if not isinstance(piece.text, str):
        raise ModelError(f"a piece of the reply is a {type(piece.text).__name__}")
    return piece.text


def _object(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, str):
        # As providers give them where nobody has parsed them yet.
        try:
            given = json.loads(given) if given.strip() else {}
        except (ValueError, RecursionError):
            return {"unreadable": plain_text(given)[:_SHOWN]}
    found = plain(given)
    return found if isinstance(found, dict) else {"unreadable": str(found)[:_SHOWN]}
