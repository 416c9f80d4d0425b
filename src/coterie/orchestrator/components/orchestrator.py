"""The agent that routes requests to components, and the agents that serve them."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from coterie.errors import AskTimeout, HandlerFailed, describe
from coterie.errors.orchestrator import ComponentDown, ComponentTimeout, MalformedRequest, UnknownComponent
from coterie.kernel import check_number
from coterie.messaging import Message
from coterie.orchestrator.components.component import (
    SERVED,
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    CurrentRequest,
    GetAgents,
    GetResponse,
    GetStatus,
)
from coterie.orchestrator.components.responses import Outcome, Responses
from coterie.runtime import Agent, AgentHealth, AgentRef, on
from coterie.work import Priority, TaskType

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class OperationFailed(Exception):
    """Wraps the error of an operation, so that it fails the request and not the agent."""


class Router(Agent):
    """Serves a few requests at once. Each waits on a thread of a pool or for a job, and does not hold the agent's thread."""

    @on(interleave=True, raises=(OperationFailed, MalformedRequest, UnknownComponent))
    async def route(self, request: ComponentRequest) -> ComponentReply:
        """Pass a request to a component."""
        component = self.context.use(Components).get(request.component)
        operation = component.operation(request.operation, request.arguments)
        orchestrator = self.context.sender
        SERVED.set(None if orchestrator is None else CurrentRequest(request, orchestrator))
        try:
            value: Any = await self.context.run_blocking(operation, **request.arguments)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            raise OperationFailed from error
        return ComponentReply(request.correlation, request.component, request.operation, value)


class _Look(Message):
    """The periodic message that checks the components and adapts the number of routers."""


class Orchestrator(Agent):
    """Routes component requests with their correlation, and keeps the components' status.

    ::

        runtime.provide(Components([memory_component(memory), processing_component(engine, {"plan": plan})]))
        orchestrator = runtime.spawn(Orchestrator, name="orchestrator")
        reply = await orchestrator.ask(ComponentRequest("processing", "plan", {"board": board}))
        reply.value

    Routers, which are children of the orchestrator, serve the requests: one more is spawned whenever each has `per_router`
    running requests, up to `most_routers`, and idle ones are stopped. An unknown component, a malformed request, a
    component that is down and an operation that raises fail only the ask (`HandlerFailed`, with that error as its cause).
    Every `check_every` seconds each component is checked. If a check fails, or does not answer within `check_timeout`, the
    component is restarted, if it has a restart.

    The response to a request that has a correlation of its own is kept: the last `keep_responses`, for `keep_seconds`.
    """

    def __init__(
        self,
        *,
        per_router: int = 32,
        most_routers: int = 8,
        check_every: float = 5.0,
        check_timeout: float = 5.0,
        keep_responses: int = 1_000,
        keep_seconds: float = 300.0,
    ) -> None:
        check_number("Orchestrator.per_router", per_router, least=1, whole=True)
        check_number("Orchestrator.most_routers", most_routers, least=1, whole=True)
        check_number("Orchestrator.check_every", check_every, above=0)
        check_number("Orchestrator.check_timeout", check_timeout, above=0)
        check_number("Orchestrator.keep_responses", keep_responses, whole=True)
        check_number("Orchestrator.keep_seconds", keep_seconds)
        self._responses = Responses(keep_responses, keep_seconds, self.context.runtime.clock)
        self.per_router = per_router
        self.most_routers = most_routers
        self.check_every = check_every
        self.check_timeout = check_timeout
        self._routers: dict[AgentRef, int] = {}
        """The running requests of each component."""
        self._status: dict[str, ComponentStatus] = {}
        self._numbers = itertools.count(1)
        self._checking: set[str] = set()
        self._calls: dict[tuple[str, str], asyncio.Future[Any]] = {}
        """The running checks, restarts and metrics by component and kind. One that hangs is not called a second time."""

    async def on_start(self) -> None:
        """Start the periodic checks."""
        components = self.context.use(Components)
        for name in components.names:
            operations = tuple(sorted(components.get(name).operations))
            self._status[name] = ComponentStatus(name, ComponentState.UNKNOWN, operations=operations)
        self._add_router()
        self.context.every(self.check_every, _Look())
        self._look()

    @on(interleave=True, raises=Exception)
    async def route(self, request: ComponentRequest) -> ComponentReply:
        """Return the reply of a request's component.

        Raises `ComponentDown`, `ComponentTimeout`, `MalformedRequest`, and the errors of the operation.
        """
        component = self.context.use(Components).get(request.component)
        component.operation(request.operation, request.arguments)
        check_options(request)
        status = self._status[component.name]
        if status.state is ComponentState.DOWN:
            raise ComponentDown(component.name, status.last_error)
        if not request.correlation:
            return await self._serve(changed(request, correlation=str(next(self._numbers))))
        outcome = self._responses.begin(request.correlation)
        # A task of its own, so that the request goes on when its asker leaves.
        self.context.create_task(self._serve_kept(request, outcome))
        return (await asyncio.shield(outcome)).take()

    @on(interleave=True, raises=Exception)
    async def response(self, message: GetResponse) -> ComponentReply:
        """Return the response to an earlier request, once it has ended. Raises its error, and `UnknownResponse`."""
        return await self._responses.get(message.correlation)

    async def _serve_kept(self, request: ComponentRequest, outcome: asyncio.Future[Outcome]) -> None:
        try:
            ended = Outcome(await self._serve(request))
        except Exception as error:  # noqa: BLE001 - the readers of the response raise it
            ended = Outcome(None, error)
        self._responses.end(request.correlation, outcome, ended)

    async def _serve(self, request: ComponentRequest) -> ComponentReply:
        """Pass a request to a router, and return the reply."""
        name = request.component
        router = self._least_busy()
        self._routers[router] += 1
        self._note(name, requests=1, in_hand=1)
        try:
            # Without a limit of its own the asker's deadline ends this handler, and with it the ask.
            return await router.ask(request, timeout=request.timeout)
        except HandlerFailed as failed:
            cause = failed.__cause__
            error = cause.__cause__ if isinstance(cause, OperationFailed) and cause.__cause__ is not None else failed
            self._note(name, failed=1, last_error=describe(error))
            raise error from None
        except AskTimeout:
            timeout = ComponentTimeout(name, request.operation, request.timeout or 0.0)
            self._note(name, failed=1, last_error=describe(timeout))
            raise timeout from None
        finally:
            self._note(name, in_hand=-1)
            if router in self._routers:
                self._routers[router] -= 1

    @on(interleave=True)
    async def status(self, _: GetStatus) -> dict[str, ComponentStatus]:
        """Return the status of each component by name, with the figures that it has now."""
        components = self.context.use(Components)
        figures = await asyncio.gather(*(self._figures(components.get(name)) for name in components.names))
        return {name: changed(self._status[name], metrics=each) for name, each in zip(components.names, figures, strict=True)}

    @on(interleave=True)
    async def states(self, _: GetAgents) -> dict[str, AgentHealth]:
        """Return the state of each agent of the runtime by name: what it does, its queue, its restarts, its last error."""
        health = await self.context.run_blocking(self.context.runtime.health)
        return cast("dict[str, AgentHealth]", health)

    async def _figures(self, component: Component) -> dict[str, float]:
        if component.metrics is None:
            return {}
        try:
            async with asyncio.timeout(self.check_timeout):
                return dict(await self._call(component.name, "metrics", component.metrics))
        except Exception as error:  # noqa: BLE001 - a component without figures has a status all the same
            self._note(component.name, last_error=f"its metrics: {describe(error)}")
            return {}

    @on
    def look(self, _: _Look) -> None:
        """Check the components, and stop routers that are not needed."""
        self._look()
        wanted = max(1, math.ceil(sum(self._routers.values()) / self.per_router))
        for router in [router for router, in_hand in self._routers.items() if not in_hand][
            : max(0, len(self._routers) - wanted)
        ]:
            del self._routers[router]
            router.stop()

    def _look(self) -> None:
        components = self.context.use(Components)
        for name in components.names:
            if name not in self._checking:
                self._checking.add(name)
                self.context.create_task(self._check(components.get(name)))

    async def _check(self, component: Component) -> None:
        """Check a component, and restart it if it fails."""
        was_down = self._status[component.name].state is ComponentState.DOWN
        try:
            problem = await self._problem(component.name, "check", component.check)
            if problem and component.restart is not None:
                self._note(component.name, state=ComponentState.RESTARTING, last_error=problem)
                self.context.log.log(
                    logging.DEBUG if was_down else logging.WARNING,
                    "the component %s failed its check and is restarted: %s",
                    component.name,
                    problem,
                )
                problem = await self._problem(component.name, "restart", component.restart)
                if not problem:
                    self._note(component.name, restarts=1)
                    problem = await self._problem(component.name, "check", component.check)
            if problem:
                if not was_down:
                    self.context.log.error("the component %s is down: %s", component.name, problem)
                self._note(component.name, checks=1, state=ComponentState.DOWN, last_error=problem)
            else:
                self._note(component.name, checks=1, state=ComponentState.HEALTHY)
        finally:
            self._checking.discard(component.name)

    async def _problem(self, name: str, what: str, function: Callable[[], object] | None) -> str:
        """Return the problem that the check or the restart of a component found, or an empty text."""
        if function is None:
            return ""
        try:
            async with asyncio.timeout(self.check_timeout):
                answer = await self._call(name, what, function)
        except TimeoutError:
            return f"no answer within {self.check_timeout:g} s"
        except Exception as error:  # noqa: BLE001 - it becomes the component's status
            return describe(error)
        if what == "restart":
            return ""
        return answer if isinstance(answer, str) else "its check says that it is not well" if answer is False else ""

    async def _call(self, name: str, what: str, function: Callable[[], T]) -> T:
        """Call a function of a component on a thread, or await its earlier call if that still runs."""
        call = self._calls.get((name, what))
        if call is None or call.done():
            call = self._calls[name, what] = asyncio.ensure_future(self.context.run_blocking(function))
            # If the await below has timed out, no other code reads the error.
            call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        result: T = await asyncio.shield(call)
        return result

    def _least_busy(self) -> AgentRef:
        router = min(self._routers, key=self._routers.__getitem__)
        if self._routers[router] >= self.per_router and len(self._routers) < self.most_routers:
            router = self._add_router()
        return router

    def _add_router(self) -> AgentRef:
        router = self.context.spawn(Router)
        self._routers[router] = 0
        return router

    def _note(
        self,
        name: str,
        *,
        requests: int = 0,
        failed: int = 0,
        in_hand: int = 0,
        restarts: int = 0,
        checks: int = 0,
        state: ComponentState | None = None,
        last_error: str | None = None,
    ) -> None:
        old = self._status[name]
        self._status[name] = ComponentStatus(
            name,
            operations=old.operations,
            requests=old.requests + requests,
            failed=old.failed + failed,
            in_hand=old.in_hand + in_hand,
            restarts=old.restarts + restarts,
            checks=old.checks + checks,
            state=old.state if state is None else state,
            last_error=old.last_error if last_error is None else last_error,
        )


def changed(message: M, **fields: Any) -> M:
    """Return a copy of a message with other values in some fields."""
    return type(message)(**{name: getattr(message, name) for name in message.__struct_fields__} | fields)


def check_options(request: ComponentRequest) -> None:
    """Raise `MalformedRequest` unless the priority, the type and the time limit of a request make sense."""
    problem, options = "", cast("object", request.options)
    if request.priority and request.priority not in set(Priority):
        problem = f"the priority {request.priority!r} is not one of {', '.join(Priority)}"
    elif request.type and request.type not in set(TaskType):
        problem = f"the type {request.type!r} is not one of {', '.join(TaskType)}"
    elif request.timeout is not None and not request.timeout > 0:
        problem = f"the timeout {request.timeout!r} is not a number of seconds above 0"
    elif not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        problem = f"the options {options!r} are not a mapping by name"
    if problem:
        raise MalformedRequest(request.component, problem)
