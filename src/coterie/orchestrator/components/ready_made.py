"""Ready-made components of memories, engines and action systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coterie.errors import WorkStopped
from coterie.memory import TieredMemory
from coterie.orchestrator.components.component import Component
from coterie.work import ActionSystem, Job, ProcessingEngine


def memory_component(memory: TieredMemory, name: str = "memory") -> Component:
    """Return a component that stores, gets, searches and deletes memories."""
    return Component(
        name,
        {"store": memory.store, "get": memory.get, "delete": memory.delete, "search": memory.search},
        check=memory.metrics,
    )


def processing_component(
    engine: ProcessingEngine, functions: Mapping[str, Callable[..., Any]], name: str = "processing", **options: Any
) -> Component:
    """Return a component that submits jobs: each operation is a function, called with the request's arguments.

    `options` are those of `ProcessingEngine.submit`.
    """

    def operation(function: Callable[..., Any]) -> Callable[..., Job[Any]]:
        return _Submit(function, lambda keywords: engine.submit(function, keywords=keywords, **options))

    return Component(
        name, {each: operation(function) for each, function in functions.items()}, check=lambda: check_serving(engine)
    )


def action_component(
    system: ActionSystem, functions: Mapping[str, Callable[..., Any]], name: str = "action", **options: Any
) -> Component:
    """Return a component that submits actions: each operation is a function, called with the request's arguments.

    `options` are those of `ActionSystem.submit`.
    """

    def operation(function: Callable[..., Any]) -> Callable[..., Job[Any]]:
        return _Submit(function, lambda keywords: system.submit(function, keywords=keywords, **options))

    return Component(
        name, {each: operation(function) for each, function in functions.items()}, check=lambda: check_serving(system)
    )


def check_serving(engine: ProcessingEngine | ActionSystem) -> bool:
    """Return True if an engine takes jobs. Raises `WorkStopped`."""
    if engine.stopped:
        raise WorkStopped(engine.name)
    return True


class _Submit:
    """Submits a call of a function, and has the signature of that function."""

    def __init__(self, function: Callable[..., Any], submit: Callable[[Mapping[str, Any]], Job[Any]]) -> None:
        # The arguments of a request are checked against this signature.
        self.__wrapped__ = function
        self._submit = submit

    def __call__(self, **keywords: Any) -> Job[Any]:
        return self._submit(keywords)
