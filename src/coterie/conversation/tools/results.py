"""What a tool returned, as text that a model can read and a log can keep."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel

from coterie.errors import describe


def encode_result(value: Any, longest: int = 0) -> str:
    """Return a result as text: a text as it is, None as nothing, all else as JSON.

    What is over `longest` characters, unless that is 0, is cut, and says so at its end. Raises whatever the value raises
    when it is looked at, and `TypeError` or `ValueError` for what cannot be written so.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        value.encode()
        text = str(value)
    else:
        text = msgspec.json.encode(value, enc_hook=_plain).decode()
    if longest and len(text) > longest:
        return f"{text[:longest]}\n[cut: the result has {len(text)} characters, and the first {longest} are shown]"
    return text


def describe_misfit(value: Any, error: Exception) -> str:
    """Return why a result could not be written as text."""
    return f"it returned a {type(value).__name__} that cannot be written as text: {describe(error)}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no JSON form")
