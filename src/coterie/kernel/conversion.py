"""Conversion of decoded values to types that msgspec does not decode, or only in part.

msgspec refuses unions whose members it could not tell apart by their first byte, and enumerations of mixed values, and it
decodes a field of a base class to that class alone. Here a member is chosen by the value: an enumeration by the value of
its member, a dataclass by the names of its fields, a tagged struct by its tag.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

_TEXTS = (str, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
_BYTES = (bytes, bytearray, memoryview)
_ARRAYS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Set)
_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_FORMS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("none", (type(None),)),
    ("text", _TEXTS),
    ("bool", (bool,)),
    ("int", (int,)),
    ("float", (float,)),
    ("bytes", _BYTES),
    ("array", _ARRAYS),
    ("map", _MAPS),
)
"""The forms that decoded values have, each with the types of values that take it."""

_DECODED = tuple((form, {"text": (str,), "array": (list,), "map": (dict,)}.get(form, kinds)) for form, kinds in _FORMS)
"""The forms, each with the types that msgspec decodes it to."""

Check = Callable[[type, Any], Any]
"""Returns a value of a type that msgspec does not know; raises TypeError if it is not one."""


class Conversion:
    """Converts decoded values.

    `check` handles types that msgspec does not know, `supported` tells whether msgspec decodes a type, and `registered`
    returns the classes that are preferred if a tag names several.
    """

    def __init__(self, check: Check, supported: Callable[[Any], bool], registered: Callable[[], Iterable[type]]) -> None:
        self._check = check
        self._supported = supported
        self._registered = registered

    def convert(self, value: Any, kind: Any) -> Any:
        """Return a decoded value as one of type `kind`. Raises `msgspec.ValidationError` or `TypeError`."""
        problem: Exception = TypeError(f"{type(value).__name__} cannot be made a {kind}")
        if self._supported(kind):
            try:
                return msgspec.convert(value, kind, dec_hook=self._check)
            except (msgspec.ValidationError, TypeError) as error:
                problem = error
        origin = typing.get_origin(kind) or kind
        if origin in (typing.Union, types.UnionType):
            return self.convert(value, _member(value, typing.get_args(kind)))
        converted = self._by_class(value, kind, origin) if isinstance(origin, type) else None
        if converted is None:
            raise problem
        return converted

    def _by_class(self, value: Any, kind: Any, origin: type) -> Any:
        """Return the converted value, or None if there is nothing that msgspec has not tried."""
        if issubclass(origin, enum.Enum):
            return _enum_member(value, origin)
        if isinstance(value, list) and issubclass(origin, (list, tuple, set, frozenset)):
            return self._array(value, origin, typing.get_args(kind))
        return self._map(value, kind, origin) if isinstance(value, dict) else None

    def _map(self, value: dict[Any, Any], kind: Any, origin: type) -> Any:
        if issubclass(origin, dict) and typing.get_args(kind):
            key, item = typing.get_args(kind)
            return {self.convert(name, key): self.convert(each, item) for name, each in value.items()}
        if issubclass(origin, msgspec.Struct):
            if typing.get_args(kind):
                # Its fields have the types of its arguments, which only msgspec fills in.
                return None
            value = dict(value)
            named = self._tagged(value, origin)
            names = dict(zip(named.__struct_encode_fields__, named.__struct_fields__, strict=True))
            return self._fields({names[name]: each for name, each in value.items() if name in names}, named)
        return self._fields(value, origin) if dataclasses.is_dataclass(origin) else None

    def _array(self, value: list[Any], origin: type, arguments: tuple[Any, ...]) -> Any:
        if not arguments:
            return None
        if issubclass(origin, tuple) and not (len(arguments) == 2 and arguments[1] is ...):  # noqa: PLR2004 - tuple[X, ...]
            if len(arguments) != len(value):
                raise msgspec.ValidationError(f"Expected `array` of length {len(arguments)}, got {len(value)}")
            return origin(map(self.convert, value, arguments))
        return origin(self.convert(each, arguments[0]) for each in value)

    def _tagged(self, value: dict[str, Any], base: type[msgspec.Struct]) -> type[msgspec.Struct]:
        """Remove the tag from the fields, and return the class that it names: `base`, or one derived from it."""
        config = base.__struct_config__
        if config.tag_field is None:
            return base
        tag = value.pop(config.tag_field, config.tag)
        named = {each for each in _derived(base) if each.__struct_config__.tag == tag}
        problem = "is not known here" if not named else "has several definitions here"
        if len(named) > 1:
            named &= set(self._registered())
        if len(named) != 1:
            raise msgspec.ValidationError(f"the class {tag!r}, a {base.__qualname__}, {problem}")
        return named.pop()

    def _fields(self, value: dict[str, Any], kind: type) -> Any:
        hints = typing.get_type_hints(kind)
        return kind(**{name: self.convert(each, hints[name]) for name, each in value.items() if name in hints})


def ambiguity(kind: Any) -> str:
    """Return why a value of a type could not be told from another when it is decoded; an empty text if it can."""
    for members in _unions(kind, set()):
        for category in ("text", "array", "map"):
            found = [member for member in members if category in _categories(member)]
            if len(found) < 2 or (category == "map" and _distinct(found)):  # noqa: PLR2004 - a union of one is none
                continue
            names = " and ".join(getattr(member, "__qualname__", str(member)) for member in found)
            return f"values of {names} could not be told apart where they arrive"
    return ""


def _member(value: Any, members: tuple[Any, ...]) -> Any:
    """Return the member of a union that a decoded value is of."""
    category = _category_of(value)
    found = [member for member in members if category in _categories(member) or _is_instance(value, member)]
    if category == "map" and len(found) > 1:
        found = [member for member in found if _names_of(member) is not None and _fits(value, member)]
    if len(found) != 1:
        names = " | ".join(getattr(member, "__qualname__", str(member)) for member in members)
        raise msgspec.ValidationError(f"Expected `{names}`, got `{type(value).__name__}`")
    return found[0]


def _fits(value: Mapping[str, Any], member: Any) -> bool:
    origin = typing.get_origin(member) or member
    if issubclass(origin, msgspec.Struct) and origin.__struct_config__.tag_field is not None:
        return value.get(origin.__struct_config__.tag_field) in {each.__struct_config__.tag for each in _derived(origin)}
    return set(value) == _names_of(member)


def _category_of(value: Any) -> str:
    return next((form for form, kinds in _DECODED if isinstance(value, kinds)), "other")


def _categories(kind: Any) -> set[str]:
    """Return the forms that the values of a type have when they are decoded without it."""
    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return {_category_of(each) for each in typing.get_args(kind)}
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return {_category_of(each.value) for each in origin}
    if origin is None or not isinstance(origin, type):
        return {"none"} if origin is None else set()
    found = [category for category, kinds in _FORMS if issubclass(origin, kinds)]
    if not found and _names_of(origin) is not None:
        found = ["map"]
    return {"float", "int"} if found[:1] == ["float"] else set(found[:1])


def _is_instance(value: Any, kind: Any) -> bool:
    return isinstance(kind, type) and not _categories(kind) and isinstance(value, kind)


def _names_of(kind: Any) -> set[str] | None:
    """Return the names of the fields of a dataclass or struct; None for any other type."""
    origin = typing.get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return set(origin.__struct_encode_fields__)
    if dataclasses.is_dataclass(origin):
        return {each.name for each in dataclasses.fields(origin)}
    return None


def _distinct(members: list[Any]) -> bool:
    """Return whether dataclasses and tagged structs differ, each from all others, by their fields or their tags."""
    seen: list[object] = []
    for member in members:
        origin = typing.get_origin(member) or member
        names = _names_of(member)
        if names is None:
            return False
        tagged = issubclass(origin, msgspec.Struct) and origin.__struct_config__.tag_field is not None
        seen.append(origin.__struct_config__.tag if tagged else frozenset(names))
    return len(set(seen)) == len(seen)


def _enum_member(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    encoded = msgspec.msgpack.encode(value)
    for member in kind:
        if msgspec.msgpack.encode(member.value) == encoded:
            return member
    raise msgspec.ValidationError(f"Invalid enum value {value!r} of {kind.__qualname__}")


def _derived(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    yield base
    for each in base.__subclasses__():
        yield from _derived(each)


def _unions(kind: Any, seen: set[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the members of each union that a type contains."""
    origin = typing.get_origin(kind) or kind
    if origin in (typing.Union, types.UnionType):
        yield typing.get_args(kind)
    for each in typing.get_args(kind):
        yield from _unions(each, seen)
    if not isinstance(origin, type) or origin in seen or _names_of(origin) is None:
        return
    seen.add(origin)
    for each in typing.get_type_hints(origin).values():
        yield from _unions(each, seen)
