"""The call of a job: a function with its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from coterie.errors import InvalidSetting
from coterie.errors.work import CoroutineReturned

_LATER = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR


class Call:
    """A function with its arguments. Immutable; `run` is safe from any thread."""

    __slots__ = ("arguments", "function", "keywords")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any] | None) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords

    def run(self) -> Any:
        """Call the function and return its result. Raises `CoroutineReturned`."""
        if self.keywords:
            return check_ran(self.function, self.function(*self.arguments, **self.keywords))
        return check_ran(self.function, self.function(*self.arguments))

    @property
    def name(self) -> str:
        """Return the name of the function for messages."""
        return name_of(self.function)

    @property
    def identity(self) -> tuple[object, str]:
        """Return the module and the name of the function."""
        return getattr(self.function, "__module__", None), self.name


class EndedCall(Call):
    """The function of a job that has ended, without its arguments. It cannot run."""

    __slots__ = ()

    def __init__(self, call: Call) -> None:
        super().__init__(call.function, (), None)

    def run(self) -> Any:
        """Raise an error: only an attempt that lost its job calls this."""
        raise RuntimeError(f"the job of {self.name} has ended")


def name_of(function: object) -> str:
    """Return the qualified name of a function, or of its type."""
    function = innermost(function)
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def innermost(function: Any) -> Any:
    """Return the function inside of partials and wrappers."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif not inspect.isroutine(function) and not isinstance(function, type) and "__wrapped__" in vars_of(function):
            function = function.__wrapped__
        else:
            return function


def vars_of(value: object) -> dict[str, Any]:
    """Return the attributes of an object by name, or an empty dictionary if it has no `__dict__`."""
    return getattr(value, "__dict__", None) or {}


def check_call(where: str, function: Any, keywords: Any) -> None:
    """Raise `InvalidSetting` unless a worker can call `function` with `keywords`."""
    if (
        keywords is None
        and type(function) is FunctionType
        and not function.__dict__
        and not function.__code__.co_flags & _LATER
    ):
        # The usual case. The checks below would take longer than the rest of a submission.
        return
    if not callable(function):
        raise InvalidSetting(f"{where}.function", function, "a callable")
    need = runs_later(function)
    if need is not None:
        raise InvalidSetting(f"{where}.function", function, need)
    if keywords is not None and not isinstance(keywords, Mapping):
        raise InvalidSetting(f"{where}.keywords", keywords, "a mapping of the function's keyword arguments")


def runs_later(function: Callable[..., Any]) -> str | None:
    """Return the remedy for a function whose call runs none of its code; None for an ordinary function."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - its code, not whether it exists
    if inspect.iscoroutinefunction(function):
        return "a synchronous function: a worker has no event loop; await the coroutine, or give it to an agent's create_task"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "a function that returns its values: a generator runs nothing before it is read; return a list"
    return None


def check_ran(function: Callable[..., Any], value: Any) -> Any:
    """Return the value of a call. Raises `CoroutineReturned` for a coroutine or the like, which has run nothing.

    A future, or the like, belongs to work that goes on elsewhere, so it is a value.
    """
    kind = type(value)
    if not hasattr(kind, "__await__"):
        if not hasattr(kind, "asend"):
            return value
    elif not hasattr(kind, "send") and (hasattr(kind, "result") or hasattr(kind, "done")):
        return value
    elif hasattr(kind, "close"):
        value.close()
    raise CoroutineReturned(name_of(function), kind.__name__.replace("_", " "))
