"""What a tool returned, as text that a model can read and a log can keep."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel


def encode_result(value: Any) -> str:
    """Return a result as text: a text as it is, None as nothing, all else as JSON.

    Raises `TypeError` or `ValueError` for what cannot be written so.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        value.encode()
        return value
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"it returned a {type(value).__name__} that cannot be written as text: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
