"""The agents that serve the requests of the orchestrator."""

from __future__ import annotations

import inspect
from typing import Any

from coterie.errors.orchestrator import MalformedRequest, UnknownComponent
from coterie.orchestrator.components.component import Components
from coterie.orchestrator.components.requests import ComponentReply, ComponentRequest
from coterie.runtime import Agent, on


class OperationFailed(Exception):
    """Wraps the error of an operation, so that it fails the request and not the agent."""


class Router(Agent):
    """Serves a few requests at once. Each waits on a thread of a pool or for a job, and does not hold the agent's thread."""

    @on(interleave=True, raises=(OperationFailed, MalformedRequest, UnknownComponent))
    async def route(self, request: ComponentRequest) -> ComponentReply:
        """Pass a request to a component."""
        component = self.context.use(Components).get(request.component)
        operation = component.operation(request.operation, request.arguments)
        try:
            value: Any = await self.context.run_blocking(operation, **request.arguments)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            raise OperationFailed from error
        return ComponentReply(request.correlation, request.component, request.operation, value)
