"""Plain data that nobody changes by accident, and that stays equal to the lists and dicts that it was made of."""

from __future__ import annotations

from typing import Any, NoReturn, Self, TypeVar

V = TypeVar("V")


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(f"a {type(self).__name__} is never changed: make a copy with thawed(...), or merge a fragment")


class FrozenDict(dict[str, V]):
    """A dict that refuses to be changed: equal to a plain one, in the same order, encodable as one. Safe to share."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def copy(self) -> dict[str, V]:
        """Return a plain dict with the same items."""
        return dict(self)


class FrozenList(list[V]):
    """A list that refuses to be changed: equal to a plain one, encodable as one. Safe to share."""

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
    """Return plain data as data that refuses to be changed, all the way down."""
    if isinstance(value, FrozenDict | FrozenList):
        return value
    if isinstance(value, dict):
        return FrozenDict({key: frozen(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return FrozenList([frozen(each) for each in value])
    return value


def thawed(value: Any) -> Any:
    """Return a copy of plain data in ordinary lists and dicts."""
    if isinstance(value, dict):
        return {key: thawed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [thawed(each) for each in value]
    return value
