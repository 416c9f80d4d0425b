"""`@tool`: a function that a model may call, and what the runtime has to know of it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from coterie.conversation.operations.machine import EVERYTHING
from coterie.conversation.operations.operation import Effect, Operation
from coterie.conversation.tools.function import ToolFunction, innermost
from coterie.conversation.tools.schema import ToolArguments, description_of
from coterie.errors import DefinitionError, InvalidSetting
from coterie.kernel import check_instance, check_number, choice
from coterie.models import ToolDefinition
from coterie.work import Retry

F = TypeVar("F", bound=Callable[..., Any])

RESERVED = frozenset({"check_status", "cancel", "list", "request", "resolve"})
"""The names of the tools that every conversation has."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class Tool:
    """A function that a model may call. Made by `tool`; immutable; may serve any number of conversations.

    It can still be called as the function that it was.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: Effect | str = Effect.WRITE,
        resources: Iterable[str] | Callable[..., Iterable[str]] | None = None,
        long_running: bool = False,
        expected: float | None = None,
        patience: float | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = None,
        idempotent: bool = False,
        idempotency_key: Callable[..., str] | None = None,
        confirm: bool | str | Callable[..., str] = False,
        guard: Callable[..., Any] | None = None,
        check: Callable[..., Any] | None = None,
        compensate: Callable[..., Any] | None = None,
        report: Callable[[Operation], str] | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        where = _checked(function)
        self.name = _named(name if name is not None else str(getattr(function, "__name__", "")), where)
        at = f"tool {self.name}"
        for setting, value in {"expected": expected, "patience": patience}.items():
            check_number(f"{at}: {setting}", value, optional=True)
        for setting, value in {"timeout": timeout, "idle_timeout": idle_timeout}.items():
            check_number(f"{at}: {setting}", value, above=0, optional=True)
        for setting, flag in {"long_running": long_running, "idempotent": idempotent}.items():
            check_instance(f"{at}: {setting}", flag, bool, "True or False")
        if not callable(confirm):
            check_instance(f"{at}: confirm", confirm, (bool, str), "True, False, the question, or a function that returns it")
        check_instance(f"{at}: description", description, (str, type(None)), "a text, or None")
        check_instance(f"{at}: retry", retry, (Retry, type(None)), "a Retry, such as Retry(3), or None")
        self.effect = choice(f"{at}: effect", effect, Effect)
        if retry is not None and self.effect is Effect.WRITE and not idempotent and idempotency_key is None:
            remedy = "say idempotent=True if it uses context.idempotency_key, or give idempotency_key; or leave retry out"
            raise DefinitionError(where, "a write is not tried again without an idempotency key", remedy)
        functions = {
            "idempotency_key": idempotency_key, "guard": guard, "check": check, "compensate": compensate, "report": report
        }  # fmt: skip
        for setting, given in functions.items():
            if given is not None and not callable(given):
                raise InvalidSetting(f"{at}: {setting}", given, "a function, or None")
        self.description = description if description is not None else description_of(function)
        self.arguments = ToolArguments(function, names or {}, where)
        self.long_running = long_running
        self.expected = expected
        self.patience = patience
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.retry = retry
        self.confirm: bool | str = confirm if isinstance(confirm, str) else bool(confirm)
        self.report = report
        self.run = ToolFunction(function)

        def beside(setting: str, given: Callable[..., Any] | None) -> ToolFunction | None:
            return _start_task(f"{at}: {setting}", given, self.arguments.schema["properties"]) if given is not None else None

        self.guard = beside("guard", guard)
        self.check = beside("check", check)
        self.compensate = beside("compensate", compensate)
        self.asks = beside("confirm", confirm if callable(confirm) else None)
        self._resources = _checked_resources(at, resources)
        self._resource_function = beside("resources", resources) if callable(resources) else None
        self._key = beside("idempotency_key", idempotency_key)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, without a runtime."""
        return self.run.function(*args, **kwargs)

    def __deepcopy__(self, memo: object) -> Tool:
        return self

    @property
    def definition(self) -> ToolDefinition:
        """What a model is told of it."""
        return ToolDefinition(self.name, self.description, self.arguments.schema)

    def resources(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what a call with these arguments touches. Raises what the tool's own function for it raises.

        A write that does not say what it touches touches everything; a read that does not, nothing that anybody writes.
        """
        if self._resources is None:
            return (EVERYTHING,) if self.effect is Effect.WRITE else ()
        touching = self._resource_function
        found = touching.function(**touching.taken(arguments)) if touching is not None else self._resources
        if isinstance(found, str) or not all(isinstance(each, str) for each in found):
            raise InvalidSetting(f"tool {self.name}: resources", found, "a list of texts")
        return tuple(dict.fromkeys(found))

    def key(self, arguments: Mapping[str, Any]) -> str:
        """Return the idempotency key of a call with these arguments, or an empty text if the tool makes none.

        A tool's function for it may return None, or an empty text, for a call that is like no other.
        """
        key = self._key.function(**self._key.taken(arguments)) if self._key is not None else None
        return f"{self.name}/{key}" if key is not None and key != "" else ""


def _checked(function: Any) -> str:
    """Return where a function is defined. Raises `DefinitionError` for what is none."""
    if not callable(function) or isinstance(function, type):
        raise DefinitionError(repr(function), "@tool needs a function", "put @tool above a def")
    if isinstance(function, Tool):
        raise DefinitionError(repr(function), "it is a tool already", "put @tool above it once")
    if inspect.isgeneratorfunction(innermost(function)) or inspect.isasyncgenfunction(innermost(function)):
        remedy = "return the whole result, and say how far it is by context.progress"
        raise DefinitionError(repr(function), "a tool returns once, and this one yields", remedy)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(where, f"{name!r} cannot name a tool", "use up to 64 letters, digits and underscores")
    if name in RESERVED:
        raise DefinitionError(where, f"every conversation has a tool {name} of its own", "choose another name")
    return name


def _start_task(where: str, function: Callable[..., Any], properties: Mapping[str, Any]) -> ToolFunction:
    """Return a function that is given arguments of the tool. Raises `DefinitionError` for one that needs others."""
    callee = ToolFunction(function)
    for each in callee.needed:
        if each.kind is each.POSITIONAL_ONLY or each.name not in properties:
            known = ", ".join(properties) or "none"
            raise DefinitionError(where, f"it takes {each.name}, which the tool does not", f"take those of the tool: {known}")
    return callee


def _checked_resources(at: str, resources: Any) -> Any:
    """Return the resources of a tool: a tuple, a function, or None. Raises `InvalidSetting`."""
    if resources is None or callable(resources):
        return resources
    if isinstance(resources, str) or not isinstance(resources, Iterable):
        raise InvalidSetting(f"{at}: resources", resources, "a list of texts, or a function that returns one")
    found = tuple(resources)
    if not all(isinstance(each, str) and each for each in found):
        raise InvalidSetting(f"{at}: resources", found, "a list of texts, or a function that returns one")
    return found


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | str = Effect.WRITE,
    resources: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    long_running: bool = False,
    expected: float | None = None,
    patience: float | None = None,
    timeout: float | None = None,
    idle_timeout: float | None = None,
    retry: Retry | None = None,
    idempotent: bool = False,
    idempotency_key: Callable[..., str] | None = None,
    confirm: bool | str | Callable[..., str] = False,
    guard: Callable[..., Any] | None = None,
    check: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    report: Callable[[Operation], str] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a function a tool. Its schema comes from its signature, its description from its docstring.

    ::

        @tool(effect=Effect.WRITE, resources=["contract"], long_running=True)
        async def close_contract(context: ToolContext, number: str) -> str:
            await context.progress(0.2, "checking the balance")
            ...

    A parameter that is annotated with `ToolContext` gets one; the model gives all others. A synchronous function runs on
    a thread of its own. What is returned must be encodable; a text is told as it is. Times are in seconds.

    A parameter annotated ``Annotated[str, Secret]`` is kept nowhere. `effect` is ``write`` unless set. `resources` are the names of what it touches, or a function of the arguments that
    returns them: calls that share a resource run one after the other if one of them writes. Without it a write touches
    everything. `long_running` sends it to the background at once; any other goes there when it has outlived its
    `patience` (the conversation's unless set), or if it is known by now to take longer. `expected` is how long it takes,
    until that has been learned.

    `timeout` limits one attempt, `idle_timeout` the time since it last reported progress. `retry` tries failed attempts
    again; a write needs `idempotent` (it passes ``context.idempotency_key`` on) or an `idempotency_key`, a function of the
    arguments: two calls with the same key are one operation.

    `confirm` has the user asked first, in the words given if it is a text, or a function that returns one: a call counts
    only if the same call was refused in the turn just before, so that the user has spoken in between, and of nothing else. The functions `confirm`,
    `guard`, `check` and `compensate` take the context, if they have a parameter for it, and, as all functions here do,
    those arguments of the call that they name. `guard` returns why the call is refused, or None. What `confirm` raises refuses it too. `check` says
    after a crash what became of an attempt, as a `Finding`. `compensate` undoes
    a write that was cancelled after it had begun. `report` words the delivery of an operation that has ended.

    Raises `DefinitionError` and `InvalidSetting` where the tool is defined.
    """
    names = dict(sys._getframe(1).f_locals)  # noqa: SLF001 - annotations may name what only the function around knows
    if function is not None:
        return Tool(function, names=names)
    return lambda target: Tool(target, names=names, **options)
