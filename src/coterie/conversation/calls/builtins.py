"""The tools that every conversation has: how operations are looked at, stopped, queued and settled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from coterie.conversation.events import Lane
from coterie.conversation.tools.schema import Arguments, description_of
from coterie.models import ToolDefinition


def _check_status(operation: str = "") -> None:
    """Say how an operation stands: what it is doing, how far it is, how long it takes; or what became of it.

    Args:
        operation: its id, such as op-3; without it, all that is under way
    """


def _cancel(operation: str) -> None:
    """Ask an operation to stop. The answer is "stopped before effect", "too late" or "compensating".

    Args:
        operation: its id, such as op-3
    """


def _list() -> None:
    """List the operations that run, those that wait in the order of the queue, and the latest that ended."""


def _request(tool: str, arguments: dict[str, Any]) -> None:
    """Queue a call of another tool while something is running. It begins when nothing is in its way.

    Args:
        tool: the name of the tool
        arguments: its arguments
    """


def _resolve(operation: str, outcome: Literal["succeeded", "failed", "retry"]) -> None:
    """Settle an operation whose outcome is unknown, by what the user says. Never guess.

    Args:
        operation: its id, such as op-3
        outcome: succeeded if it took effect, failed if it did not, retry if it is to be tried again
    """


class Builtin:
    """One of them: what a model is told, and the check of its arguments."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.arguments = Arguments(function, {}, name)
        self.definition = ToolDefinition(name, description_of(function), self.arguments.schema)


BUILTINS: Mapping[str, Builtin] = MappingProxyType(
    {
        name: Builtin(name, function)
        for name, function in {
            "check_status": _check_status,
            "cancel": _cancel,
            "list": _list,
            "request": _request,
            "resolve": _resolve,
        }.items()
    }
)


def definitions(lane: Lane, tools: list[str], *, unknown: bool) -> list[ToolDefinition]:
    """Return those that a model is shown in a lane; `tools` are the names that can be requested."""
    names = ["check_status", "cancel", "list"]
    if lane is Lane.SECOND and tools:
        names.append("request")
    if unknown:
        names.append("resolve")
    return [BUILTINS[name].definition for name in names]
