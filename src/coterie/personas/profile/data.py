"""Immutable plain data, and the merge of two descriptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn, Self, TypeVar

from coterie.personas.profile.reading import inside

V = TypeVar("V")


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(f"a {type(self).__name__} is never changed: make a copy with thawed(...), or merge a fragment")


class FrozenDict(dict[str, V]):
    """An immutable dict: equal to a plain one, in the same order, encodable as one. Safe to share."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def copy(self) -> dict[str, V]:
        """Return a plain dict with the same items."""
        return dict(self)


class FrozenList(list[V]):
    """An immutable list: equal to a plain one, encodable as one. Safe to share."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def copy(self) -> list[V]:
        """Return a plain list of the same items."""
        return list(self)


def frozen(value: Any) -> Any:
    """Return plain data as immutable data, at all levels."""
    if isinstance(value, FrozenDict | FrozenList):
        return value
    if isinstance(value, dict):
        return FrozenDict({key: frozen(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return FrozenList([frozen(each) for each in value])
    return value


def thaw(value: Any) -> Any:
    """Return a copy of plain data in ordinary lists and dicts."""
    if isinstance(value, dict):
        return {key: thaw(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(each) for each in value]
    return value


Conflict = Callable[[str, Any, Any], Any]
"""Takes a path and the two values there; returns the value to use, or raises."""


def merge_values(ours: Any, theirs: Any, conflict: Conflict, where: str = "") -> Any:
    """Return one value made of two."""
    if theirs is None:
        return ours
    if ours is None:
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        both = dict(ours)
        for key, value in theirs.items():
            both[key] = merge_values(ours[key], value, conflict, inside(where, key)) if key in ours else value
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
    """Return a key of a value by JSON equality: true is not 1."""
    return json.dumps(value, sort_keys=True)
