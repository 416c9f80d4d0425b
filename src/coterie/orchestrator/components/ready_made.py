"""Ready-made components of memories, engines, action systems and worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coterie.errors import WorkStopped
from coterie.memory import TieredMemory
from coterie.orchestrator.components.component import Component
from coterie.work import Action, ActionSystem, Job, Priority, ProcessingEngine
from coterie.world import Event, Intent, Resolver, World


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


class _PendingIntent:
    """An intent and its events. Written by the worker that applies it, and read afterwards."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.events: tuple[Event, ...] = ()


class WorldFeedback:
    """Commits the results of actions to a world, if they are an `Intent` or a list of intents; ignores other results.

    ::

        with ActionSystem(apply=WorldFeedback(world, resolvers.Rationing("lake"))) as system:
            system.submit(Intent, "ada", "take", {"key": "lake", "amount": 10}).result()

    Safe from any thread, for the world is: commits are made one after the other.
    """

    def __init__(self, world: World, resolver: Resolver | None = None, *, seed: int | str | None = None) -> None:
        self._world = world
        self._resolver = resolver
        self._seed = seed

    def __call__(self, _: Action[Any], result: object) -> None:
        """Apply a result. Raises the errors of `World.commit`; a retry then repeats only this call."""
        if isinstance(result, _PendingIntent):
            result.events = self._commit([result.intent])
        elif isinstance(result, Intent):
            self._commit([result])
        elif isinstance(result, list | tuple) and result and all(isinstance(each, Intent) for each in result):
            self._commit(list(result))

    def _commit(self, intents: list[Intent]) -> tuple[Event, ...]:
        return self._world.commit(intents, resolver=self._resolver, seed=self._seed)


def environment_component(world: World, system: ActionSystem, name: str = "environment", **options: Any) -> Component:
    """Return a component of a world: `read` a key, `view` all keys under a prefix (without the prefix), `intend` a change.

    `system` must be made with ``apply=WorldFeedback(world)``. `intend` returns one mapping for each event of the intent, with
    its `sequence`, `kind` (granted, cut, refused), `reason` and `changes`. Intents have no round, so those of different
    requests count in the order in which their actions end. `options` are those of `ActionSystem.submit`; by default nothing
    is retried.
    """
    options = {"retry": None, **options}

    def read(key: str, default: object = None) -> Any:
        return world.view().get(key, default)

    def view(prefix: str = "") -> dict[str, Any]:
        return world.view().under(prefix)

    async def intend(
        agent: str, action: str, arguments: Mapping[str, Any] | None = None, priority: str = Priority.NORMAL
    ) -> list[dict[str, Any]]:
        pending = _PendingIntent(Intent(agent, action, dict(arguments or {})))
        # To submit may take a moment where a queue is full, but on an event loop it never blocks.
        await system.submit(lambda: pending, **{"priority": priority, **options})
        return [
            {"sequence": event.sequence, "kind": str(event.kind), "reason": event.reason, "changes": dict(event.changes)}
            for event in pending.events
        ]

    return Component(
        name, {"read": read, "view": view, "intend": intend}, check=lambda: not world.closed and check_serving(system)
    )
