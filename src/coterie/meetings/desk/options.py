"""What a caller may set, checked and brought into one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.meetings.ending import Condition, Ending, Lasted, MaxTurns

_DEPTH = 100
"""Levels that there may be around what is said."""
PLAIN = "finite numbers, text, lists, and mappings whose keys are text; no bytes, no dates, a few hundred levels at most"
"""What minutes can hold."""


def slug(text: str) -> str:
    """Return a text as the name of a file."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:60] or "meeting"


def ending_of(ending: Condition | None, max_turns: int | None, time_limit: float | None) -> Condition | None:
    """Return the one condition that all limits come to."""
    if ending is not None:
        check_instance("call.ending", ending, Ending, "a condition such as MaxTurns(20) | Said('done')")
    parts: list[Any] = [ending] if ending is not None else []
    if max_turns is not None:
        parts.append(MaxTurns(max_turns))
    if time_limit is not None:
        parts.append(Lasted(time_limit))
    whole: Any = None
    for part in parts:
        whole = part if whole is None else whole | part
    return whole  # type: ignore[no-any-return] # only conditions were put there


def plain_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a caller gave to be known, as plain data of its own. Raises `InvalidSetting`."""
    if parameters is None:
        return {}
    check_instance("call.parameters", parameters, Mapping, "a mapping of names to plain data")
    try:
        return lasting_data(dict(parameters))  # type: ignore[no-any-return] # a mapping comes back as one
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidSetting("call.parameters", tuple(map(str, parameters)), f"{PLAIN} ({error})") from error


def lasting_data(content: Any) -> Any:
    """Return a copy of plain data, which nobody can change behind the minutes' back.

    Raises what msgspec raises for what is no data, or is too deep; and `ValueError` for data that would not be the same
    once read back from a line of JSON.
    """
    data = msgspec.msgpack.decode(msgspec.msgpack.encode(content))
    whole = data
    for _ in range(_DEPTH):
        whole = [whole]  # entries and letters are around it
    msgspec.json.encode(whole)
    if msgspec.json.decode(msgspec.json.encode(data)) != data:
        raise ValueError("it would not be the same, read from a line of JSON")
    return data
