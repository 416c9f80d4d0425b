"""The decorator `@on`, and the table of handlers of an agent class."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar, overload

from coterie.errors import DefinitionError
from coterie.messaging import Message, Stream
from coterie.runtime.definition.answers import check_answers, yields

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__coterie_on__"
_DECLARED = "__coterie_declared__"
"""The attribute of a class with the methods that its body declared by `@on`."""

_MOST_ALONE = 31
"""The largest number of messages that get a task of their own because of one that has used up a shared task."""


class UnresolvedType(DefinitionError):
    """The annotation of a handler names something that does not exist, or not yet."""


class _Declaration:
    """The arguments of `@on`, and the names in which annotations are looked up."""

    __slots__ = ("attempts", "interleave", "names", "raises", "shield")

    def __init__(
        self,
        *,
        interleave: bool | int,
        shield: bool,
        raises: tuple[type[BaseException], ...],
        attempts: int,
        names: Mapping[str, Any],
    ) -> None:
        self.interleave = interleave
        self.shield = shield
        self.raises = raises
        self.attempts = attempts
        self.names = names


class Handler:
    """One method of one agent class, bound to the message types that it handles."""

    # fmt: off
    __slots__ = (
        "alone", "attempts", "forms", "function", "interleave", "is_async", "name", "names", "raises", "shield", "spent",
    )
    # fmt: on

    def __init__(self, name: str, function: Callable[..., Any], declaration: _Declaration) -> None:
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.interleave = declaration.interleave
        self.shield = declaration.shield
        self.raises = declaration.raises
        self.attempts = declaration.attempts
        self.names = declaration.names
        self.forms: dict[type[Message], Any] = {}
        """The types of generic messages with their arguments, such as `Box[int]`, by their classes."""
        # Hints, which the threads of all agents of the class write.
        self.alone = 0
        """How many of the next messages get a task of their own, because the latest ones have used up shared tasks."""
        self.spent = 0
        """How many messages that was for after the latest message that has used one up; 0 after one that did not."""

    def spend(self) -> None:
        """Note that a message has used up a shared task: to wait, to leave a trace at it, or to raise."""
        self.alone = self.spent = min(2 * self.spent + 1, _MOST_ALONE)


@overload
def on(function: F, /) -> F: ...
@overload
def on(
    *,
    interleave: bool | int = False,
    shield: bool = False,
    raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    attempts: int = 1,
) -> Callable[[F], F]: ...


def on(
    function: F | None = None,
    /,
    *,
    interleave: bool | int = False,
    shield: bool = False,
    raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    attempts: int = 1,
) -> F | Callable[[F], F]:
    """Make a method the handler for the messages that its parameter's annotation names.

    ::

        @on
        def add(self, message: Add) -> int: ...

        @on(raises=NotFound)
        async def look_up(self, message: LookUp | Search) -> str: ...

    The annotation is a subclass of `Message` or a union of such. A handler also serves the subclasses of its types; the
    nearest class in the method resolution order wins. A subclass of the agent replaces a handler by overriding the
    method, with or without `@on`, or by declaring another for the same type.

    `interleave`: while such an ``async`` handler awaits, the agent handles other messages. All code of the agent still runs
    on one thread, but other handlers may run between the awaits of this one. All other handlers run to their end, awaits
    included, before the next message. A number bounds the messages that the handler handles at once: `interleave=8`; with True
    the bound is the capacity of the mailbox, and at least a hundred. At the bound the agent takes no message.

    `shield`: the handler is not cancelled when the ask that it answers times out or is cancelled.

    `raises`: errors of these types fail the message and not the agent. A group of errors counts as one of them if all
    its errors do. The same holds for background tasks that the handler makes by `context.create_task`.

    A handler of a `Stream` is an ``async`` generator, or a plain one, and yields its items. A handler may also return an
    iterator, or the stream of another agent, which is passed on.

    `attempts`: the maximum number of times that this handler gets the message. After a failure the rebuilt agent gets it again;
    after the last one the message counts as failed and becomes a dead letter.

    Raises `DefinitionError` for an invalid declaration, when the method or its class is defined.
    """
    # The annotation may name a class that only the function around the agent's class knows.
    frame = sys._getframe(1)  # noqa: SLF001 - the one way to see the namespace of a class under construction
    names: dict[str, Any] = dict(frame.f_back.f_locals) if frame.f_back is not None else {}
    names.update(frame.f_locals)
    kinds: tuple[Any, ...] = raises if isinstance(raises, tuple) else (raises,)

    def declare(method: F) -> F:
        where = f"{getattr(method, '__module__', '?')}.{getattr(method, '__qualname__', method)}"
        if inspect.isclass(method) and issubclass(method, Message):
            raise DefinitionError(where, "@on takes no message class", "write @on, and annotate the method's parameter with it")
        if not inspect.isfunction(method):
            raise DefinitionError(where, "@on needs a plain method", "put @on right above its def, below the other decorators")
        if yields(method) and attempts > 1:
            raise DefinitionError(where, f"attempts={attempts}", "leave it out: items that were sent cannot be taken back")
        if getattr(frame.f_locals.get(method.__name__), _MARK, None) is not None and "__qualname__" in frame.f_locals:
            raise DefinitionError(where, "the class has a handler of this name already, which would be lost", "rename one")
        if interleave.__class__ not in (bool, int) or interleave < 0:
            raise DefinitionError(where, f"interleave={interleave!r}", "give True, or how many may be under way at once")
        if attempts < 1:
            raise DefinitionError(where, f"attempts={attempts}", "a message is tried at least once")
        if not all(inspect.isclass(kind) and issubclass(kind, BaseException) for kind in kinds):
            raise DefinitionError(where, f"raises={raises!r}", "give exception classes")
        declaration = _Declaration(
            interleave=interleave, shield=shield, raises=kinds, attempts=attempts, names=_needed(method, names)
        )
        setattr(method, _MARK, declaration)
        if "__qualname__" in frame.f_locals:
            frame.f_locals.setdefault(_DECLARED, []).append(method)
        return method

    return declare if function is None else declare(function)


def handlers_of(agent: type) -> dict[type[Message], Handler]:
    """Return the handlers of an agent class by message type.

    Raises `DefinitionError`, and `UnresolvedType`, which is one, if an annotation names what does not exist yet.
    """
    table: dict[type[Message], Handler] = {}
    for base in reversed(agent.__mro__):
        _refuse_lost(base)
        own: dict[type[Message], str] = {}
        for name, value in vars(base).items():
            declaration = getattr(getattr(value, "__func__", value), _MARK, None)
            if not isinstance(declaration, _Declaration):
                continue
            if isinstance(value, staticmethod | classmethod):
                where = f"{base.__module__}.{base.__qualname__}.{name}"
                raise DefinitionError(where, "a handler is a method of its agent", "leave out @staticmethod and @classmethod")
            # The method may have been overridden since; then its override runs, under the declaration it has.
            method = getattr(agent, name)
            if not callable(method):
                where = f"{agent.__module__}.{agent.__qualname__}.{name}"
                raise DefinitionError(where, "it has replaced a handler and cannot be called", "rename one of them")
            handler = Handler(name, method, getattr(method, _MARK, declaration))
            served = _served(method, declaration)
            for kind, form in _message_types(value, declaration):
                if form is not kind:
                    handler.forms[kind] = form
                if served is not None and not issubclass(kind, served):
                    where = _place_of(method)
                    problem = (
                        f"it replaces {base.__qualname__}.{name}, which handles {kind.__qualname__}, and does not handle that"
                    )
                    raise DefinitionError(where, problem, f"rename one of them, or annotate it with {kind.__qualname__} too")
                _refuse_items(method, kind)
                if kind in own:
                    where = f"{base.__module__}.{base.__qualname__}"
                    problem = f"{own[kind]} and {name} both handle {kind.__qualname__}"
                    raise DefinitionError(where, problem, "leave one of them")
                own[kind] = name
                table[kind] = handler
    return table


def check_handlers(table: Mapping[type[Message], Handler]) -> bool:
    """Raise `DefinitionError` for a handler whose return type contradicts a request that it serves.

    Return False if some return type cannot be resolved yet.
    """
    served: dict[int, tuple[Handler, dict[type[Message], Any]]] = {}
    for kind, handler in table.items():
        served.setdefault(id(handler.function), (handler, {}))[1][kind] = handler.forms.get(kind, kind)
    checked = [check_answers(handler.function, kinds, handler.names) for handler, kinds in served.values()]
    return all(checked)


def forms_of(table: Mapping[type[Message], Handler]) -> dict[type[Message], Any]:
    """Return the types of the generic messages of a table with their arguments, by their classes."""
    return {kind: handler.forms[kind] for kind, handler in table.items() if kind in handler.forms}


def nearest(table: Mapping[type[Message], Handler], kind: type) -> Handler | None:
    """Return the handler for messages of a type: its own, or that of its nearest base class."""
    for base in kind.__mro__:
        handler = table.get(base)
        if handler is not None:
            return handler
    return None


def _refuse_lost(base: type) -> None:
    """Raise `DefinitionError` if a decorator above `@on` has replaced a handler of a class by something that hides it."""
    values = [getattr(value, "__func__", value) for value in vars(base).values()]
    found = {id(getattr(value, _MARK, None)) for value in values}
    declared = list(vars(base).get(_DECLARED, ()))
    for value in values:
        # A wrapper that was made without functools.wraps still has the method among the variables that it uses.
        for cell in getattr(value, "__closure__", None) or ():
            with suppress(ValueError):
                declared.append(cell.cell_contents)
    for method in declared:
        declaration = getattr(method, _MARK, None) if inspect.isfunction(method) else None
        if declaration is not None and id(declaration) not in found:
            problem = "what a decorator above @on made of it is no handler"
            raise DefinitionError(_place_of(method), problem, "put @on above that decorator, or use functools.wraps in it")


def _refuse_items(method: Callable[..., Any], kind: type[Message]) -> None:
    """Raise `DefinitionError` if a method yields its answer to messages of a type that is no stream."""
    if yields(method) and not issubclass(kind, Stream):
        problem = f"a handler cannot yield its answer to {kind.__qualname__}, which is no Stream"
        remedy = "derive the message from Stream[Item], and send it by stream(), or return a list"
        raise DefinitionError(_place_of(method), problem, remedy)


def _place_of(method: Callable[..., Any]) -> str:
    return f"{method.__module__}.{method.__qualname__}"


def _served(method: Callable[..., Any], declaration: _Declaration) -> tuple[type[Message], ...] | None:
    """Return the message types that a method declares for itself by `@on`; None if it overrides without `@on`."""
    own = getattr(method, _MARK, None)
    if own is None or own is declaration:
        return None
    return tuple(kind for kind, _ in _message_types(method, own))


def _needed(method: Callable[..., Any], names: Mapping[str, Any]) -> Mapping[str, Any]:
    # Annotations kept as text are looked up later; keep only names that they may use, not the whole frame alive.
    texts = [text for text in getattr(method, "__annotations__", {}).values() if isinstance(text, str)]
    if not texts:
        return {}
    return {name: value for name, value in names.items() if any(name in text for text in texts)}


def _message_types(method: Callable[..., Any], declaration: _Declaration) -> Iterator[tuple[type[Message], Any]]:
    """Yield the classes of the messages of a method, each with the type that the annotation gives."""
    where = _place_of(method)
    parameters = list(inspect.signature(method).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [each for each in parameters if each.default is each.empty]
    if len(parameters) < 2 or len(required) > 2 or any(each.kind not in positional for each in parameters[:2]):  # noqa: PLR2004 - self and message
        remedy = "declare it as (self, message: SomeMessage)"
        if any(each.kind is each.VAR_POSITIONAL for each in parameters):
            remedy += ", and use functools.wraps in a decorator below @on"
        raise DefinitionError(where, "a handler takes self and one message", remedy)
    parameter = parameters[1]
    if parameter.annotation is parameter.empty:
        raise DefinitionError(where, f"its parameter {parameter.name!r} has no type", "annotate it with the message class")
    # Only this annotation is resolved: the others may name what exists for type checkers alone.
    only = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    # A decorator may come from another module than the method that it wraps.
    space = getattr(inspect.unwrap(method), "__globals__", {})
    try:
        hints = typing.get_type_hints(only, globalns=space, localns=dict(declaration.names))
    except NameError as error:
        remedy = "define or import the message class where the agent class can see it"
        raise UnresolvedType(where, f"the type of {parameter.name!r} cannot be resolved: {error}", remedy) from error
    annotation = hints[parameter.name]
    members = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    for member in members:
        kind = typing.get_origin(member) or member
        if not (isinstance(kind, type) and issubclass(kind, Message)):
            shown = getattr(member, "__qualname__", member)
            raise DefinitionError(where, f"{shown} is not a message class", "handle subclasses of Message or Request")
        yield kind, member
