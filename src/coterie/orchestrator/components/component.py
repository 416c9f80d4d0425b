"""The components that an orchestrator routes to, their requests, and their results."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import MalformedRequest, UnknownComponent
from coterie.kernel import check_instance
from coterie.messaging import Message, Request
from coterie.runtime import AgentHealth, AgentRef, Reply


class ComponentState(enum.StrEnum):
    """The health of a component."""

    UNKNOWN = "unknown"
    """It has not been checked yet."""
    HEALTHY = "healthy"
    RESTARTING = "restarting"
    DOWN = "down"
    """It fails its checks and cannot be restarted. It is still checked, and may come back."""


class ComponentReply(Message):
    """The result of a request."""

    correlation: str
    component: str
    operation: str
    value: Any = None


class ComponentRequest(Request[ComponentReply]):
    """Ask a component to do something: ``ComponentRequest("memory", "get", {"key": "alice/goal"})``."""

    component: str
    """Its name: memory, processing, action, environment, or another that is configured."""
    operation: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 - each request gets its own
    correlation: str = ""
    """The reply has the same correlation; the orchestrator fills an empty one with a number. A request with a correlation of
    its own goes on when its asker leaves, and `GetResponse` picks its response up later."""
    priority: str = ""
    """The priority of the job or action that it becomes, such as ``high``; empty for that of the component."""
    timeout: float | None = None
    """Seconds for the whole request; None for no limit but that of the ask."""
    type: str = ""
    """The `TaskType` of the job that it becomes; empty for that of the component."""
    options: dict[str, Any] = {}  # noqa: RUF012 - each request gets its own
    """More of what is submitted: `timeout` (of an attempt), `deadline`, `key` and `id`; for jobs `cpu_bound`, for actions
    `resource` and `target`. Operations of your own read theirs in `current_request()`."""


class GetResponse(Request[ComponentReply]):
    """Ask an orchestrator for the response to an earlier request that had a correlation of its own.

    If the request still runs, the reply comes when it has ended; if it failed, its error is raised.
    """

    correlation: str


class ComponentStatus(Message):
    """The status of a component, with counts of its requests."""

    name: str
    state: ComponentState
    requests: int = 0
    failed: int = 0
    in_hand: int = 0
    restarts: int = 0
    checks: int = 0
    last_error: str = ""
    operations: tuple[str, ...] = ()
    metrics: dict[str, float] = {}  # noqa: RUF012 - each status gets its own
    """Figures of the component at this moment, such as its queued jobs and its utilisation; empty if it has none."""


class GetStatus(Request[dict[str, ComponentStatus]]):
    """Ask an orchestrator for the status of its components, by name."""


class GetAgents(Request[dict[str, AgentHealth]]):
    """Ask an orchestrator for the states of the agents of its runtime, by name."""


@dataclass(frozen=True, slots=True)
class Component:
    """One component: its name, its operations, its check, and its restart.

    Operations, `check` and `restart` are called on threads of the runtime's pool, several at once, and must be safe for
    that. The result of an operation is the reply's value; an awaitable result, such as a `Job`, is awaited first. Raises
    `InvalidSetting`.
    """

    name: str
    operations: Mapping[str, Callable[..., Any]]
    check: Callable[[], object] | None = None
    """Raises, or returns False or the problem as text, if the component does not work."""
    restart: Callable[[], object] | None = None
    """Restarts it, or raises."""
    metrics: Callable[[], Mapping[str, float]] | None = None
    """Returns figures for its status."""

    def __post_init__(self) -> None:
        check_instance("Component.name", self.name, str, "a text that is not empty")
        if not self.name:
            raise InvalidSetting("Component.name", self.name, "a text that is not empty")
        check_instance("Component.operations", self.operations, Mapping, "a mapping of names to callables")
        for operation, function in self.operations.items():
            if not callable(function):
                raise InvalidSetting(f"Component.operations[{operation!r}]", function, "something that can be called")

    def operation(self, name: object, arguments: object) -> Callable[..., Any]:
        """Return the callable of an operation, after a check of its arguments. Raises `MalformedRequest`."""
        known = ", ".join(sorted(self.operations))
        function = self.operations.get(name) if isinstance(name, str) else None
        if function is None:
            raise MalformedRequest(self.name, f"it has no operation {name!r}, only {known or 'none at all'}")
        if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
            raise MalformedRequest(self.name, f"the arguments of {name} must be a mapping by name, not {arguments!r}")
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            raise MalformedRequest(self.name, f"{name}: {error}") from None
        except ValueError:
            # Some built-in functions have no signature; then the call itself checks the arguments.
            return function
        return function


@dataclass(frozen=True, slots=True)
class CurrentRequest:
    """The request that an operation serves, and the orchestrator that routed it."""

    request: ComponentRequest
    orchestrator: AgentRef

    def ask(self, component: str, operation: str, /, **arguments: Any) -> Reply[ComponentReply]:
        """Ask another component through the orchestrator, with the priority of this request."""
        asked = ComponentRequest(component, operation, arguments, priority=self.request.priority)
        return self.orchestrator.ask(asked, timeout=None)


SERVED: ContextVar[CurrentRequest | None] = ContextVar("coterie_component_request", default=None)
"""The request of the running operation. It travels to the jobs and actions that the operation submits."""


def current_request() -> CurrentRequest | None:
    """Return the request that the calling operation, or a job or action of it, serves; None outside of requests."""
    return SERVED.get()


class Components:
    """The components of one runtime: give it to `runtime.provide`. Immutable. Raises `InvalidSetting`."""

    def __init__(self, components: Iterable[Component]) -> None:
        self._by_name: dict[str, Component] = {}
        for component in components:
            check_instance("Components", component, Component, "components: Component(name, operations)")
            if component.name in self._by_name:
                raise InvalidSetting("Components", component.name, "a name that no other component has")
            self._by_name[component.name] = component

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components, in order."""
        return tuple(self._by_name)

    def get(self, name: object) -> Component:
        """Return the component of a name. Raises `UnknownComponent`."""
        component = self._by_name.get(name) if isinstance(name, str) else None
        if component is None:
            raise UnknownComponent(name, self._by_name)
        return component
