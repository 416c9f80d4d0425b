"""How a user's function is called: with or without a context, with the arguments that it takes, on the right kind of thread."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_CONTEXT = re.compile(r"(?:[\w.]*Optional\[)?(?:\w+\.)*ToolContext\]?(?:\s*\|\s*None)?")

RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that may block on a thread of its own, and awaits it."""


class ToolFunction:
    """A function of a user: the tool itself, its check, its compensation, its guard. Immutable."""

    __slots__ = ("_contexts", "_names", "function", "is_async", "needed")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - it is looked at, not asked whether there is one
        )
        parameters = list(inspect.signature(function).parameters.values())
        self._contexts = tuple(each.name for each in parameters if is_context(each))
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        self._names = None if takes_all else frozenset(each.name for each in parameters)
        self.needed = tuple(each for each in parameters if _is_needed(each))
        """The parameters that it cannot do without."""

    async def call(self, context: object, arguments: Mapping[str, Any], blocking: RunBlocking) -> Any:
        """Call the function and return its result. A synchronous one runs by `blocking`, so it does not block the caller.

        `context` is the `ToolContext`, passed to the parameters that take one; the type is `object` to keep this module below it.
        """
        given = self.taken(arguments)
        given.update(dict.fromkeys(self._contexts, context))
        if self.is_async:
            return await self.function(**given)
        value = await blocking(lambda: self.function(**given))
        return await value if inspect.isawaitable(value) else value

    def taken(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the arguments that it has a parameter for."""
        return {name: value for name, value in arguments.items() if self._names is None or name in self._names}


def _is_needed(parameter: inspect.Parameter) -> bool:
    several = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return not several and parameter.default is parameter.empty and not is_context(parameter)


def is_context(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter is for the `ToolContext`: by its annotation, or by its name where it has none."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return parameter.name == "context"
    if isinstance(annotation, str):
        return _CONTEXT.fullmatch(annotation) is not None
    kinds = [each for each in typing.get_args(annotation) if each is not type(None)] or [annotation]
    return len(kinds) == 1 and getattr(kinds[0], "__name__", "") == "ToolContext"


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that is behind wrappers, partial calls and callable objects: it has the docstring, and the types' names."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - it is looked at, not asked whether there is one
