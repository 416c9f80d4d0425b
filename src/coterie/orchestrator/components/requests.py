"""Requests to components, and their results."""

from __future__ import annotations

import enum
from typing import Any

from coterie.messaging import Message, Request


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
    """The reply has the same correlation; the orchestrator fills an empty one with a number."""


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


class GetStatus(Request[dict[str, ComponentStatus]]):
    """Ask an orchestrator for the status of its components, by name."""
