"""The answers of handlers: a declared return type that contradicts the request is refused when the class is defined.

A type checker cannot see it: no type expresses that a method answers the type parameter of the message that it takes. The
check refuses only what is certainly wrong, and takes all that it does not know for right.
"""

from __future__ import annotations

import collections
import inspect
import types
import typing
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from coterie.errors import DefinitionError
from coterie.messaging import Message, Request, Stream
from coterie.messaging.message import reply_type
from coterie.runtime.references.reply import Reply
from coterie.runtime.references.reply_stream import ReplyStream

_NONE = type(None)
_WIDER: dict[type, tuple[type, ...]] = {
    float: (int,),
    complex: (int, float),
    bytes: (bytearray, memoryview),
}
"""Types whose values type checkers take for those of others."""
_GENERIC = (
    list, dict, set, frozenset, collections.deque, collections.defaultdict, collections.OrderedDict,
    Collection, Iterable, Iterator, Mapping, Sequence, AbstractSet,
    collections.abc.MutableMapping, collections.abc.MutableSequence, collections.abc.MutableSet,
)  # fmt: skip
"""Classes whose parameters mean the same in one and the other, if they have equally many."""


def check_answers(method: Callable[..., Any], served: Mapping[type[Message], Any], names: Mapping[str, Any]) -> bool:
    """Raise `DefinitionError` if a method declares to return what the requests that it serves do not expect.

    `served` gives the type of each message, with its arguments, by its class. Return False if the return type cannot be
    resolved yet.
    """
    annotation = getattr(method, "__annotations__", {}).get("return", inspect.Signature.empty)
    # A decorator may change the answer.
    if annotation is inspect.Signature.empty or hasattr(method, "__wrapped__"):
        return True
    expected = {kind: reply_type(form) for kind, form in served.items() if issubclass(kind, Request | Stream)}
    if not expected:
        return True
    try:
        only = types.SimpleNamespace(__annotations__={"return": annotation})
        space = getattr(method, "__globals__", {})
        declared = typing.get_type_hints(only, globalns=space, localns=dict(names))["return"]
    except NameError:
        return False
    except Exception:  # noqa: BLE001 - an annotation may be anything
        return True
    if not inspect.iscoroutinefunction(method):
        declared = _awaited(declared)
    members = [each for each in _members(_passed_on(declared)) if each not in (typing.Never, typing.NoReturn)]
    everything = len(expected) == len(served)
    for kind, answer in expected.items():
        if members and not any(_answers(each, kind, answer) for each in members):
            _refuse(method, declared, kind, answer)
    for member in members:
        # A handler returns None where it postpones a message, and for messages that expect no answer.
        if (
            everything
            and (member is not _NONE or len(members) == 1)
            and not any(_answers(member, *each) for each in expected.items())
        ):
            _refuse(method, declared, *next(iter(expected.items())))
    return True


def _refuse(method: Callable[..., Any], declared: Any, kind: type, answer: Any) -> typing.NoReturn:
    where = f"{method.__module__}.{method.__qualname__}"
    if issubclass(kind, Stream):
        problem = f"it returns {_shown(declared)}, but {kind.__qualname__} expects items of {_shown(answer)}"
        form = f"AsyncIterator[{_shown(answer)}]"
        raise DefinitionError(where, problem, f"return {form}, or let {kind.__qualname__} be a Stream of those items")
    problem = f"it returns {_shown(declared)}, but {kind.__qualname__} expects {_shown(answer)}"
    raise DefinitionError(
        where, problem, f"return {_shown(answer)}, or let {kind.__qualname__} be a Request[{_shown(declared)}]"
    )


def _shown(kind: Any) -> str:
    return "None" if kind is _NONE else kind.__qualname__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


def _answers(declared: Any, kind: type, answer: Any) -> bool:
    """Return whether a declared type may be the answer to a request, or give the items of a stream."""
    if not issubclass(kind, Stream):
        return _fits(declared, answer)
    origin, arguments = typing.get_origin(declared) or declared, typing.get_args(declared)
    if not inspect.isclass(origin) or origin is object or getattr(origin, "_is_protocol", False):
        return True
    if not issubclass(origin, AsyncIterable | Iterable):
        return origin is Any
    # The first argument of generators and iterators is the item; a mapping or a class of the user's may differ.
    known = origin.__module__ in ("collections.abc", "builtins", ReplyStream.__module__) and not issubclass(origin, Mapping)
    return not known or not arguments or _fits(arguments[0], answer)


def yields(method: Callable[..., Any]) -> bool:
    """Return whether a method is a generator, plain or asynchronous."""
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


def _awaited(declared: Any) -> Any:
    """Return the type that the await of a return value gives: the runtime awaits what a ``def`` handler returns."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if inspect.isclass(origin) and origin is not Reply and arguments and issubclass(origin, Awaitable):
        return arguments[-1] if origin.__module__ in ("collections.abc", "asyncio", "_asyncio") else Any
    return declared


def _passed_on(declared: Any) -> Any:
    """Return the type of answer of a reply that a handler returns: the answer to another ask becomes the answer."""
    if typing.get_origin(declared) is Reply:
        return typing.get_args(declared)[0]
    return declared


def _members(kind: Any) -> list[Any]:
    """Return the members of a union, each without its annotations and its alias; a type that is no union alone."""
    kind = _plain(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(kind) for member in _members(_passed_on(each))]
    return [kind]


def _plain(kind: Any) -> Any:
    while True:
        if kind is None:
            return _NONE
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        elif hasattr(kind, "__value__") and not isinstance(kind, type):
            kind = kind.__value__
        else:
            return kind


def _fits(given: Any, expected: Any) -> bool:
    """Return whether a value of one type may be one of another. True if that is not known."""
    expected = _plain(expected)
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        return any(_fits(given, each) for each in _members(expected))
    given = _plain(given)
    if typing.get_origin(given) in (typing.Union, types.UnionType):
        return any(_fits(each, expected) for each in _members(given))
    literals = typing.get_origin(given) is typing.Literal, typing.get_origin(expected) is typing.Literal
    if all(literals):
        return not set(typing.get_args(given)).isdisjoint(typing.get_args(expected))
    if literals[0]:
        return any(_fits(type(value), expected) for value in typing.get_args(given))
    if literals[1]:
        return any(_fits(given, type(value)) for value in typing.get_args(expected))
    return _classes_fit(given, expected)


def _classes_fit(given: Any, expected: Any) -> bool:
    one, other = typing.get_origin(given) or given, typing.get_origin(expected) or expected
    if not inspect.isclass(one) or not inspect.isclass(other) or Any in (one, other) or object in (one, other):
        return True
    if getattr(other, "_is_protocol", False) or getattr(one, "_is_protocol", False):
        return True
    if hasattr(one, "__await__") and not hasattr(other, "__await__"):
        return True
    try:
        # A wider type may well hold the right value.
        if not (issubclass(one, other) or issubclass(other, one) or issubclass(one, _WIDER.get(other, ()))):
            return False
    except TypeError:
        return True
    return _arguments_fit(one, typing.get_args(given), other, typing.get_args(expected))


def _arguments_fit(one: type, given: Sequence[Any], other: type, expected: Sequence[Any]) -> bool:
    """Return whether the type arguments of two classes may belong to the same value."""
    if not given or not expected:
        return True
    if one is tuple and other is tuple:
        return _tuples_fit(given, expected)
    if one is tuple or other is tuple:
        if len(expected if one is tuple else given) != 1:
            return True
        items, (item,) = (given, expected) if one is tuple else (expected, given)
        return all(_fits(each, item) for each in items if each is not ...)
    alike = one is other or (one in _GENERIC and other in _GENERIC)
    if not alike or len(given) != len(expected):
        return True
    return all(_fits(*pair) for pair in zip(given, expected, strict=True))


def _tuples_fit(given: Sequence[Any], expected: Sequence[Any]) -> bool:
    if given[-1] is ... or expected[-1] is ...:
        some, items = (given[0], expected) if given[-1] is ... else (expected[0], given)
        return all(_fits(each, some) or _fits(some, each) for each in items if each is not ...)
    return len(given) == len(expected) and all(_fits(*pair) for pair in zip(given, expected, strict=True))
