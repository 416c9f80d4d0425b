"""How a user's function is called: with or without a context, with the arguments that it takes, on the right kind of thread."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.conversation.tools.context import ToolContext

Blocking = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that may block on a thread of its own, and awaits it."""


class Callee:
    """A function of a user: the tool itself, its check, its compensation, its guard. Immutable."""

    __slots__ = ("_context", "_names", "function", "is_async")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - it is looked at, not asked whether there is one
        )
        parameters = list(inspect.signature(function).parameters.values())
        self._context = next((each.name for each in parameters if is_context(each)), None)
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        self._names = None if takes_all else frozenset(each.name for each in parameters)

    async def call(self, context: ToolContext, arguments: Mapping[str, Any], blocking: Blocking) -> Any:
        """Call it and return what it returns. A synchronous one runs by `blocking`, so it holds up nobody."""
        given = {name: value for name, value in arguments.items() if self._names is None or name in self._names}
        if self._context is not None:
            given[self._context] = context
        if self.is_async:
            return await self.function(**given)
        value = await blocking(lambda: self.function(**given))
        return await value if inspect.isawaitable(value) else value


def is_context(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter is for the `ToolContext`: by its annotation, or by its name where it has none."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return parameter.name == "context"
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name.rsplit(".", 1)[-1] == "ToolContext"
