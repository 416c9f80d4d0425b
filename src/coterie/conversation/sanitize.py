"""Make values and model replies storable, so that no output of a model or a tool can damage the log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from coterie.errors import EncodeFailed, ModelError
from coterie.kernel import Codec
from coterie.models import ModelReply, TextDelta, ToolCall

T = TypeVar("T", bound=msgspec.Struct)

_MAX_DEPTH = 50
"""Maximum nesting of values; deeper values are stored as text."""
_WORD = 64
"""Bits of an integer that can be stored."""
_CODEC = Codec()


def plain_text(text: str) -> str:
    """Return a text with a question mark for each unpaired surrogate."""
    return text.encode(errors="replace").decode()


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON types: keys become strings, and a value without a JSON form becomes its string form."""
    if value is None or isinstance(value, bool) or _is_number(value):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {plain_text(str(key)): plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(each, depth + 1) for each in value]
    return plain_text(str(value))


def _is_number(value: Any) -> bool:
    """Return whether JSON and the log can hold a number."""
    if type(value) is int:
        return -(1 << _WORD - 1) <= value < 1 << _WORD
    return type(value) is float and math.isfinite(value)


def storable(value: T) -> T:
    """Return the value itself if it can be encoded, or else an encodable value with the same fields.

    Raises `EncodeFailed` otherwise.
    """
    try:
        _CODEC.encode(value)
    except EncodeFailed:
        try:
            return msgspec.convert(plain(msgspec.to_builtins(value, enc_hook=str)), type(value))
        except (TypeError, ValueError) as error:
            raise EncodeFailed(f"a {type(value).__qualname__}", error) from error
    return value


_MAX_NAME_LENGTH = 100
_SHOWN = 200
"""Characters of unreadable arguments that the model is shown again."""


def check_reply(reply: ModelReply) -> ModelReply:
    """Return a reply with sanitized parts. Raises `ModelError` if a part has the wrong type.

    Arguments that are not an object become one that fits no tool, so that the model gets an error.
    """
    if not isinstance(reply.text, str):
        raise ModelError(f"the text of the reply is a {type(reply.text).__name__}")
    calls: Any = reply.calls or ()
    if not isinstance(calls, tuple | list) or not all(isinstance(each, ToolCall) for each in calls):
        raise ModelError("the calls of the reply must be a list of ToolCall")
    if not all(isinstance(each.name, str) for each in calls):
        raise ModelError("the name of a call in the reply is not a string")
    return msgspec.structs.replace(
        reply,
        text=plain_text(reply.text),
        calls=tuple(
            ToolCall(str(each.id), plain_text(each.name)[:_MAX_NAME_LENGTH], _object(each.arguments)) for each in calls
        ),
    )


def text_of_piece(piece: TextDelta) -> str:
    """Return the text of a piece of a reply. Raises `ModelError` if it is not a string."""
    if not isinstance(piece.text, str):
        raise ModelError(f"a piece of the reply is a {type(piece.text).__name__}")
    return piece.text


def _object(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, str):
        # Some providers return unparsed arguments.
        try:
            given = json.loads(given) if given.strip() else {}
        except (ValueError, RecursionError):
            return {"unreadable": plain_text(given)[:_SHOWN]}
    found = plain(given)
    return found if isinstance(found, dict) else {"unreadable": str(found)[:_SHOWN]}
