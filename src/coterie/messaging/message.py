"""Messages and requests between agents."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from coterie.errors import DefinitionError

R_co = TypeVar("R_co", covariant=True)

if TYPE_CHECKING:
    # msgspec tells type checkers that a struct is mutable unless it says otherwise itself; messages never are.
    @dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class _Frozen(type): ...

    class _Struct(metaclass=_Frozen):
        __struct_fields__: ClassVar[tuple[str, ...]]

        def __init_subclass__(
            cls, *, frozen: bool = True, kw_only: bool = False, tag: Any = None, tag_field: str | None = None
        ) -> None: ...
else:

    class _MessageType(msgspec.StructMeta):
        """The class of message classes. It refuses changes that would break one."""

        def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
            if "__init__" in namespace:
                where = f"{namespace.get('__module__')}.{namespace.get('__qualname__', name)}"
                remedy = "leave it out, and give fields defaults, or write a class method that makes one"
                raise DefinitionError(where, "a message has no __init__ of its own, so that it can be decoded", remedy)
            return super().__new__(mcls, name, bases, namespace, **options)

        def __setattr__(cls, name: str, value: object) -> None:
            if name.startswith("__dataclass_"):
                raise DefinitionError(
                    f"{cls.__module__}.{cls.__qualname__}",
                    "a message is no dataclass",
                    "leave out @dataclass: its fields are listed alike",
                )
            super().__setattr__(name, value)

    class _Struct(msgspec.Struct, metaclass=_MessageType):
        pass


class Message(_Struct, frozen=True, tag=str, tag_field="$type"):
    """The base of all messages: immutable, typed, encodable.

    A subclass lists its fields::

        class Note(Message):
            text: str
            urgent: bool = False

    Fields may be numbers, text, bytes, dates, enumerations, lists, tuples, dicts, dataclasses, other messages, named by
    their class, a base class, or a union of such, and agent references. Within one process a message is passed by reference, so use
    immutable values in it too: a tuple rather than a list. Types are checked when a message is decoded, not when it is made.
    """


class Request(Message, Generic[R_co]):
    """A message that expects an answer of type `R_co`.

    ::

        class Add(Request[int]):
            amount: int
    """


class Stream(Message, Generic[R_co]):
    """A request whose answer is a stream of items of type `R_co`, which a handler yields one after the other.

    ::

        class Tokens(Stream[str]):
            prompt: str
    """


_UNKNOWN = object()
_ANSWERS: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()
"""The answers of message classes that were asked for before. Two threads store equal entries."""


def reply_type(kind: Any) -> Any:
    """Return the type of answer, or of item, that a message class expects, or one with type arguments; `Any` if it does not say.

    The class that binds a type parameter of a generic request determines it.
    """
    known = _ANSWERS.get(kind, _UNKNOWN) if isinstance(kind, type) else _UNKNOWN
    if known is not _UNKNOWN:
        return known
    answer = _answer(get_origin(kind) or kind, get_args(kind))
    answer = Any if answer is None or isinstance(answer, TypeVar) else answer
    if isinstance(kind, type):
        _ANSWERS[kind] = answer
    return answer


def _answer(kind: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the argument of `Request` or `Stream` in `kind`, with type parameters bound to `arguments`; None for another class."""
    if kind in (Request, Stream):
        return arguments[0] if arguments else Any
    filled = dict(zip(getattr(kind, "__parameters__", ()), arguments, strict=False))
    declared = kind.__dict__.get("__orig_bases__", kind.__bases__)
    for base in declared:
        origin = get_origin(base) or base
        if isinstance(origin, type) and issubclass(origin, Request | Stream):
            return _answer(origin, tuple(_fill(argument, filled) for argument in get_args(base)))
    return None


def _fill(argument: Any, filled: Mapping[Any, Any]) -> Any:
    if isinstance(argument, TypeVar):
        return filled.get(argument, argument)
    open_ones = getattr(argument, "__parameters__", ())
    return argument[tuple(filled.get(each, Any) for each in open_ones)] if open_ones else argument
