"""The world as a component: requests read its views, and actions commit intents to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coterie.orchestrator.components.component import Component
from coterie.orchestrator.components.ready_made import check_serving, request_options, restart_hung, work_figures
from coterie.work import Action, ActionSystem, Priority
from coterie.world import Event, Intent, Resolver, World


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


def environment_component(
    world: World,
    system: ActionSystem,
    name: str = "environment",
    *,
    stalled_after: float = 30.0,
    restart: Callable[[], object] | None = None,
    **options: Any,
) -> Component:
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
        await system.submit(lambda: pending, **request_options({"priority": priority, **options}, typed=False))
        return [
            {"sequence": event.sequence, "kind": str(event.kind), "reason": event.reason, "changes": dict(event.changes)}
            for event in pending.events
        ]

    def check() -> str | bool | None:
        return check_serving(system, stalled_after) if not world.closed else "the world is closed"

    def figures() -> dict[str, float]:
        statistics = world.statistics()
        of_world = {"keys": statistics.keys, "events": statistics.events, "commits": statistics.commits}
        return {**work_figures(system), **of_world}

    return Component(
        name,
        {"read": read, "view": view, "intend": intend, "metrics": world.metrics},
        check=check,
        restart=restart if restart is not None else partial(restart_hung, system),
        metrics=figures,
    )
