"""What a job calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from coterie.errors import InvalidSetting

_ASYNC = inspect.CO_COROUTINE


class Call:
    """A function with its arguments. Immutable; `run` may be called from any thread."""

    __slots__ = ("arguments", "function", "keywords")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any] | None) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords

    def run(self) -> Any:
        """Call it."""
        if self.keywords:
            return self.function(*self.arguments, **self.keywords)
        return self.function(*self.arguments)

    @property
    def name(self) -> str:
        """What the function is called, for people."""
        return name_of(self.function)


def name_of(function: object) -> str:
    """Return what people call a function: its qualified name, or its type's."""
    function = innermost(function)
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def innermost(function: Any) -> Any:
    """Return the function that a partial, or what calls another for somebody, is about."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif not inspect.isroutine(function) and not isinstance(function, type) and "__wrapped__" in vars_of(function):
            function = function.__wrapped__
        else:
            return function


def vars_of(value: object) -> dict[str, Any]:
    """Return the attributes of an object by name, as far as it keeps them in a dictionary."""
    return getattr(value, "__dict__", None) or {}


def check_call(where: str, function: Any, keywords: Any) -> None:
    """See that a function can be called by a worker. Raises `InvalidSetting`."""
    if (
        keywords is None
        and type(function) is FunctionType
        and not function.__dict__
        and not function.__code__.co_flags & _ASYNC
    ):
        # Nearly every call; what follows would take longer than all else that a submission does.
        return
    if not callable(function):
        raise InvalidSetting(f"{where}.function", function, "something that can be called")
    if inspect.iscoroutinefunction(function):
        need = "a synchronous function: a worker has no event loop; await the coroutine, or give it to an agent's create_task"
        raise InvalidSetting(f"{where}.function", function, need)
    if keywords is not None and not isinstance(keywords, Mapping):
        raise InvalidSetting(f"{where}.keywords", keywords, "a mapping of the function's keyword arguments")
