"""`@tool`: a function that a model may call, with its options."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from coterie.conversation.operations.machine import EVERYTHING
from coterie.conversation.operations.operation import Effect, Operation, ResourceScope
from coterie.conversation.tools.function import ToolFunction, innermost
from coterie.conversation.tools.schema import ToolArguments, description_of
from coterie.errors import DefinitionError, InvalidSetting
from coterie.kernel import check_instance, check_number, choice
from coterie.models import ToolDefinition
from coterie.work import Retry

F = TypeVar("F", bound=Callable[..., Any])

RESERVED = frozenset({"check_status", "cancel", "list", "request", "resolve", "read_result"})
"""The names of the tools that every conversation has."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


_APPROVAL = {"operation": Operation, "person": str}
"""The parameters of a function that says who may approve."""


class Tool:
    """A function that a model may call. Made by `tool`; immutable; any number of conversations can share it.

    It can still be called as the original function. `arguments` are those of a tool whose schema is not that of its function,
    and `offered` returns whether it can be called now. Raises `DefinitionError` and `InvalidSetting`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: Effect | str = Effect.WRITE,
        resources: Iterable[str] | Callable[..., Iterable[str]] | None = None,
        scope: ResourceScope | str = ResourceScope.USER,
        second_lane: bool = False,
        long_running: bool = False,
        expected: float | None = None,
        patience: float | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = None,
        idempotent: bool = False,
        idempotency_key: Callable[..., str] | None = None,
        confirm: bool | str | Callable[..., str] = False,
        approver: Callable[..., Any] | None = None,
        guard: Callable[..., Any] | None = None,
        check: Callable[..., Any] | None = None,
        compensate: Callable[..., Any] | None = None,
        report: Callable[[Operation], str] | None = None,
        names: Mapping[str, Any] | None = None,
        arguments: ToolArguments | None = None,
        offered: Callable[[], bool] | None = None,
    ) -> None:
        where = _checked(function)
        self.name = _named(name if name is not None else str(getattr(function, "__name__", "")), where)
        at = f"tool {self.name}"
        for setting, value in {"expected": expected, "patience": patience}.items():
            check_number(f"{at}: {setting}", value, optional=True)
        for setting, value in {"timeout": timeout, "idle_timeout": idle_timeout}.items():
            check_number(f"{at}: {setting}", value, above=0, optional=True)
        for setting, flag in {"long_running": long_running, "idempotent": idempotent, "second_lane": second_lane}.items():
            check_instance(f"{at}: {setting}", flag, bool, "True or False")
        if not callable(confirm):
            check_instance(f"{at}: confirm", confirm, (bool, str), "True, False, the question, or a function that returns it")
        check_instance(f"{at}: description", description, (str, type(None)), "a text, or None")
        check_instance(f"{at}: retry", retry, (Retry, type(None)), "a Retry, such as Retry(3), or None")
        self.effect = choice(f"{at}: effect", effect, Effect)
        self.scope = choice(f"{at}: scope", scope, ResourceScope)
        if retry is not None and self.effect is Effect.WRITE and not idempotent and idempotency_key is None:
            remedy = "set idempotent=True if it uses context.idempotency_key, or set idempotency_key, or leave retry out"
            raise DefinitionError(where, "retry of a write needs an idempotency key", remedy)
        functions = {
            "idempotency_key": idempotency_key, "guard": guard, "check": check, "compensate": compensate, "report": report
        }  # fmt: skip
        functions["approver"] = approver
        for setting, given in functions.items():
            if given is not None and not callable(given):
                raise InvalidSetting(f"{at}: {setting}", given, "a function, or None")
        self.description = description if description is not None else description_of(function)
        self.arguments = arguments if arguments is not None else ToolArguments(function, names or {}, where)
        self._offered = offered
        self.long_running = long_running
        self.second_lane = second_lane or self.effect is Effect.READ
        """Whether it may be called while an operation is queued or running."""
        self.expected = expected
        self.patience = patience
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.retry = retry
        self.repeatable = idempotent or idempotency_key is not None
        """Whether a write may run twice: its effect is the same as that of one run."""
        self.confirm: bool | str = confirm if isinstance(confirm, str) else bool(confirm)
        self.report = report
        self.run = ToolFunction(function)

        def beside(setting: str, given: Callable[..., Any] | None) -> ToolFunction | None:
            return _start_task(f"{at}: {setting}", given, self.arguments.schema["properties"]) if given is not None else None

        self.guard = beside("guard", guard)
        self.check = beside("check", check)
        self.compensate = beside("compensate", compensate)
        self.asks = beside("confirm", confirm if callable(confirm) else None)
        if approver is not None and not confirm:
            raise DefinitionError(where, "an approver needs something to approve", "set confirm too")
        self.approver = None if approver is None else _start_task(f"{at}: approver", approver, _APPROVAL)
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
    def offered(self) -> bool:
        """Whether it can be called now. A tool of another program may have been withdrawn, and may come back."""
        return self._offered is None or self._offered()

    @property
    def definition(self) -> ToolDefinition:
        """Its definition for the model."""
        return ToolDefinition(self.name, self.description, self.arguments.schema)

    def resources(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the resources of a call with these arguments. Raises the exceptions of the tool's `resources` function.

        Default `resources`: ``*`` for a write, none for a read.
        """
        if self._resources is None:
            return (EVERYTHING,) if self.effect is Effect.WRITE else ()
        touching = self._resource_function
        found = touching.function(**touching.taken(arguments)) if touching is not None else self._resources
        if isinstance(found, str) or not all(isinstance(each, str) for each in found):
            raise InvalidSetting(f"tool {self.name}: resources", found, "a list of strings")
        return tuple(dict.fromkeys(found))

    def key(self, arguments: Mapping[str, Any]) -> str:
        """Return the idempotency key of a call with these arguments, or an empty string without one.

        The tool's function may return None or an empty string for a call that is unique.
        """
        key = self._key.function(**self._key.taken(arguments)) if self._key is not None else None
        return f"{self.name}/{key}" if key is not None and key != "" else ""


def _checked(function: Any) -> str:
    """Return the qualified name of a function. Raises `DefinitionError` if it cannot be a tool."""
    if not callable(function) or isinstance(function, type):
        raise DefinitionError(repr(function), "@tool needs a function", "put @tool above a def")
    if isinstance(function, Tool):
        raise DefinitionError(repr(function), "it is already a tool", "apply @tool once")
    if inspect.isgeneratorfunction(innermost(function)) or inspect.isasyncgenfunction(innermost(function)):
        remedy = "return the whole result, and report progress with context.progress"
        raise DefinitionError(repr(function), "a tool must return, and this one yields", remedy)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(where, f"{name!r} cannot name a tool", "use up to 64 letters, digits and underscores")
    if name in RESERVED:
        raise DefinitionError(where, f"{name} is the name of a built-in tool", "choose another name")
    return name


def _start_task(where: str, function: Callable[..., Any], properties: Mapping[str, Any]) -> ToolFunction:
    """Return a function that takes arguments of the tool. Raises `DefinitionError` if it needs others."""
    callee = ToolFunction(function)
    for each in callee.needed:
        if each.kind is each.POSITIONAL_ONLY or each.name not in properties:
            known = ", ".join(properties) or "none"
            raise DefinitionError(
                where, f"it needs {each.name}, which the tool does not have", f"use the parameters of the tool: {known}"
            )
    return callee


def _checked_resources(at: str, resources: Any) -> Any:
    """Return the resources of a tool: a tuple, a function, or None. Raises `InvalidSetting`."""
    if resources is None or callable(resources):
        return resources
    if isinstance(resources, str) or not isinstance(resources, Iterable):
        raise InvalidSetting(f"{at}: resources", resources, "a list of strings, or a function that returns one")
    found = tuple(resources)
    if not all(isinstance(each, str) and each for each in found):
        raise InvalidSetting(f"{at}: resources", found, "a list of strings, or a function that returns one")
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
    scope: ResourceScope | str = ResourceScope.USER,
    second_lane: bool = False,
    long_running: bool = False,
    expected: float | None = None,
    patience: float | None = None,
    timeout: float | None = None,
    idle_timeout: float | None = None,
    retry: Retry | None = None,
    idempotent: bool = False,
    idempotency_key: Callable[..., str] | None = None,
    confirm: bool | str | Callable[..., str] = False,
    approver: Callable[..., Any] | None = None,
    guard: Callable[..., Any] | None = None,
    check: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    report: Callable[[Operation], str] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Return a function as a tool. Its schema comes from its signature, its description from its docstring.

    ::

        @tool(effect=Effect.WRITE, resources=["contract"], long_running=True)
        async def close_contract(context: ToolContext, number: str) -> str:
            await context.progress(0.2, "checking the balance")
            ...

    A parameter annotated with `ToolContext` gets the context; the model supplies all others. A synchronous function runs on
    its own thread. The result must be encodable; a string is used unchanged. Times are in seconds. The value of a parameter
    annotated ``Annotated[str, Secret]`` is never stored.

    `effect` is ``write`` unless set. `resources` are names, or a function of the arguments that returns them: calls that
    share a resource run one after the other if one of them writes. The default is ``*``, all resources, for a write and
    none for a read. `scope` says how far these names reach: ``conversation``, ``user``, or ``all``. The default is ``user``:
    the conversations of one user exclude each other, and strangers never wait for each other. `second_lane` allows a short write, such as a login, while other operations run, if none of them
    uses its resources. `long_running` moves a call to the background at once; other calls move there after their `patience`
    (the conversation's unless set), or at once if past runs took longer. `expected` is the estimated run time until there
    are enough past runs.

    `timeout` limits one attempt, `idle_timeout` the time since its last progress. `retry` repeats failed attempts; a write
    then needs `idempotent` (the function passes ``context.idempotency_key`` on) or `idempotency_key`, a function of the
    arguments: two calls with the same key are one operation.

    `confirm` asks the user first, with the given question, or with the result of a function: the operation awaits approval,
    by `Conversation.approve`, or by the user's word, after which the model repeats the same call in the very next turn.
    `approver` gets the `operation` and the `person`, and returns whether they may decide on it: True, or False, or the
    reason against it. `guard` returns the reason to refuse a call, or None. If
    `confirm` or `guard` raises, the call is refused. `check` finds the outcome of an attempt after a crash and returns a
    `Finding`. `compensate` undoes a write that was cancelled after its start. These five take the context if they have a
    parameter for it. `report` takes the ended operation and returns the text of its delivery. All other functions take the
    arguments of the call that they name.

    Raises `DefinitionError` and `InvalidSetting` at the definition.
    """
    names = dict(sys._getframe(1).f_locals)  # noqa: SLF001 - annotations may name locals of the enclosing function
    if function is not None:
        return Tool(function, names=names)
    return lambda target: Tool(target, names=names, **options)
