"""Merging one description into another.

The rule is that of the format: objects are merged key by key; lists are concatenated, what is there already left out,
their order kept; null is replaced by whatever is not null; equal values are one. Anything else - unlike types, scalars
that differ - is a conflict. What is merged is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from coterie.personas.profile.reading import inside

Conflict = Callable[[str, Any, Any], Any]
"""Told of a place and the two values there; returns the one that counts, or raises."""


def merged(ours: Any, theirs: Any, conflict: Conflict, where: str = "") -> Any:
    """Return one value made of two."""
    if theirs is None:
        return ours
    if ours is None:
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        both = dict(ours)
        for key, value in theirs.items():
            both[key] = merged(ours[key], value, conflict, inside(where, key)) if key in ours else value
        return both
    if isinstance(ours, list) and isinstance(theirs, list):
        seen = {_identity(each) for each in ours}
        joined = list(ours)
        for each in theirs:
            if (key := _identity(each)) not in seen:
                seen.add(key)
                joined.append(each)
        return joined
    if _identity(ours) == _identity(theirs):
        return ours
    return conflict(where, ours, theirs)


def _identity(value: Any) -> str:
    """Return what tells a value from others; true is not 1."""
    return json.dumps(value, sort_keys=True)
