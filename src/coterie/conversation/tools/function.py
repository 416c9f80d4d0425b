"""Call a user's function with its context and arguments, on the event loop or on a thread."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_CONTEXT = re.compile(r"(?:[\w.]*Optional\[)?(?:\w+\.)*ToolContext\]?(?:\s*\|\s*None)?")

RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a blocking function on its own thread and returns an awaitable."""


def _ignore() -> None:
    """Do nothing."""


class ToolFunction:
    """A function of a user: the tool itself, its check, its compensation, its guard. Immutable."""

    __slots__ = ("_contexts", "_names", "function", "is_async", "needed")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - the attribute itself is needed
        )
        parameters = list(inspect.signature(function).parameters.values())
        self._contexts = tuple(each.name for each in parameters if is_context(each))
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        self._names = None if takes_all else frozenset(each.name for each in parameters)
        self.needed = tuple(each for each in parameters if _is_needed(each))
        """The required parameters."""

    async def call(
        self, context: object, arguments: Mapping[str, Any], blocking: RunBlocking, begun: Callable[[], object] = _ignore
    ) -> Any:
        """Call the function and return its result. A synchronous function runs by `blocking`, so it does not block the caller.

        `begun` is called right before, on the thread that runs the function: the wait for that thread is over then.
        `context` is the `ToolContext` for the parameters that take one; its type is `object` to keep this module below it.
        """
        given = self.taken(arguments)
        given.update(dict.fromkeys(self._contexts, context))

        def run() -> Any:
            begun()
            return self.function(**given)

        if self.is_async:
            return await run()
        value = await blocking(run)
        return await value if inspect.isawaitable(value) else value

    def taken(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that have a parameter."""
        return {name: value for name, value in arguments.items() if self._names is None or name in self._names}


def _is_needed(parameter: inspect.Parameter) -> bool:
    several = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return not several and parameter.default is parameter.empty and not is_context(parameter)


def is_context(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter is for the `ToolContext`: by its annotation, or without one by its name."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return parameter.name == "context"
    if isinstance(annotation, str):
        return _CONTEXT.fullmatch(annotation) is not None
    kinds = [each for each in typing.get_args(annotation) if each is not type(None)] or [annotation]
    return len(kinds) == 1 and getattr(kinds[0], "__name__", "") == "ToolContext"


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside wrappers, partials and callable objects, which has the docstring and the types."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - the attribute itself is needed
