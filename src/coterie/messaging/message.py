"""What agents say to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

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
    _Struct = msgspec.Struct


class Message(_Struct, frozen=True, tag=str, tag_field="$type"):
    """The base of all messages: immutable, typed, with a form on the wire.

    A subclass lists its fields::

        class Note(Message):
            text: str
            urgent: bool = False

    Fields may be numbers, text, bytes, dates, enumerations, lists, tuples, dicts, dataclasses, other messages named by
    their own class (or a union of such), and agent references. Within one process a message is passed by reference, so
    keep what is in it immutable too: a tuple rather than a list. Types are checked when a message comes off the wire,
    not when it is made.
    """


class Request(Message, Generic[R_co]):
    """A message that expects an answer of type `R_co`.

    ::

        class Add(Request[int]):
            amount: int
    """


def reply_type(kind: type[Message]) -> Any:
    """Return the type of answer that a message class expects; `Any` when it does not say."""
    for base in kind.__mro__:
        for declared in getattr(base, "__orig_bases__", ()) if "__orig_bases__" in base.__dict__ else ():
            if get_origin(declared) is Request:
                answer = get_args(declared)[0]
                return Any if isinstance(answer, TypeVar) else answer
    return Any
