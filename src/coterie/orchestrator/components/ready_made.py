"""Ready-made components of memories, engines and action systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coterie.errors import WorkStopped
from coterie.errors.orchestrator import MalformedRequest
from coterie.memory import AgentMemory, TieredMemory
from coterie.orchestrator.components.agent_memories import AgentMemories
from coterie.orchestrator.components.component import Component, current_request
from coterie.work import ActionSystem, Job, ProcessingEngine

_JOB_OPTIONS = ("timeout", "deadline", "key", "id", "cpu_bound")
_ACTION_OPTIONS = ("timeout", "deadline", "key", "id", "resource", "target")
"""Options of a submission that a request may choose."""
_PROBE = "coterie/health"
"""A key that is read to see whether the tiers of a memory answer."""


def memory_component(
    memory: TieredMemory,
    name: str = "memory",
    *,
    minds: Callable[[str], AgentMemory] | None = None,
    restart: Callable[[], object] | None = None,
) -> Component:
    """Return a component of a memory.

    Its operations are those of `TieredMemory` (`store`, `get`, `record`, `delete`, `search`, `recent`, `flush`, `maintain`,
    `decisions`, `metrics`) and of `AgentMemory`, with the argument `agent`: see `AgentMemories`. `minds` makes the handle of an agent, once for each. The
    check asks every tier, so that a Redis that is gone shows. Its restart asks them again: a connection is made anew when
    its server is back. Give a `restart` that does more.
    """
    tiered: tuple[Callable[..., Any], ...] = (
        memory.store, memory.get, memory.record, memory.delete, memory.search, memory.recent, memory.flush, memory.maintain,
        memory.decisions, memory.metrics,
    )  # fmt: skip
    agents = AgentMemories(minds if minds is not None else partial(AgentMemory, memory))
    check = partial(_check_tiers, memory)
    return Component(
        name,
        {each.__name__: each for each in (*tiered, *agents.operations)},
        check=check,
        restart=restart if restart is not None else check,
        metrics=partial(_memory_figures, memory),
    )


def _check_tiers(memory: TieredMemory) -> str | None:
    """Ask every tier. Return the problem of one that is away, or None. Raises the errors of `TieredMemory.get`."""
    memory.get(_PROBE)
    return "; ".join(f"{tier.name}: {tier.away}" for tier in memory.metrics().tiers.values() if tier.away) or None


def _memory_figures(memory: TieredMemory) -> dict[str, float]:
    metrics = memory.metrics()
    return {
        "stores": metrics.stores,
        "deletes": metrics.deletes,
        "cached": metrics.cache.entries,
        "hits": metrics.cache.hits,
        "misses": metrics.cache.misses,
        "queued": metrics.waiting_reads,
    }


def processing_component(
    engine: ProcessingEngine,
    functions: Mapping[str, Callable[..., Any]],
    name: str = "processing",
    *,
    stalled_after: float = 30.0,
    restart: Callable[[], object] | None = None,
    **options: Any,
) -> Component:
    """Return a component that submits jobs: each operation is a function, called with the request's arguments.

    `options` are those of `ProcessingEngine.submit`; the priority, the type, the time limit and the options of a request come before
    them. It is not well when `engine.health(stalled_after)` is not. If its workers hang, `engine.restart` then cancels its
    jobs and replaces them; one that was stopped stays so, unless ``restart=engine.restart`` is given.
    """
    return _work_component(name, engine, _operations(engine.submit, functions, options, typed=True), stalled_after, restart)


def action_component(
    system: ActionSystem,
    functions: Mapping[str, Callable[..., Any]],
    name: str = "action",
    *,
    stalled_after: float = 30.0,
    restart: Callable[[], object] | None = None,
    **options: Any,
) -> Component:
    """Return a component that submits actions: each operation is a function, called with the request's arguments.

    `options` are those of `ActionSystem.submit`; the priority, the time limit and the options of a request come before them. It is
    checked and restarted as a `processing_component` is.
    """
    return _work_component(name, system, _operations(system.submit, functions, options, typed=False), stalled_after, restart)


def check_serving(engine: ProcessingEngine | ActionSystem, stalled_after: float = 30.0) -> str | None:
    """Return the problem of an engine that takes no jobs or makes no progress, or None."""
    return engine.health(stalled_after).problem or None


def restart_hung(engine: ProcessingEngine | ActionSystem) -> None:
    """Restart an engine that makes no progress. One that was stopped stays so: raises `WorkStopped`."""
    if engine.stopped and not engine.restarting:
        raise WorkStopped(engine.name)
    engine.restart()


def work_figures(engine: ProcessingEngine | ActionSystem) -> dict[str, float]:
    """Return the figures of an engine for the status of its component."""
    health, totals = engine.health(), engine.metrics().totals
    return {
        "queued": health.queued,
        "oldest_wait": health.oldest_wait,
        "running": totals.running,
        "pending": totals.pending,
        "workers": health.workers,
        "busy": health.busy,
        "utilisation": health.utilisation,
        "abandoned": health.abandoned,
        "submitted": totals.submitted,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "retries": totals.retries,
    }


def request_options(options: Mapping[str, Any], *, typed: bool) -> dict[str, Any]:
    """Return the options of a submission, with those of the request that is served before the given ones."""
    serving = current_request()
    merged = dict(options)
    if serving is not None:
        request = serving.request
        merged |= {"priority": request.priority} if request.priority else {}
        merged |= {"type": request.type} if request.type and typed else {}
        merged |= {"deadline": request.timeout} if request.timeout is not None else {}
        for option, value in request.options.items():
            known = _JOB_OPTIONS if typed else _ACTION_OPTIONS
            if option not in known:
                raise MalformedRequest(request.component, f"the option {option!r} is not one of {', '.join(known)}")
            merged[option] = value
    return merged


def _operations(
    submit: Callable[..., Job[Any]], functions: Mapping[str, Callable[..., Any]], options: Mapping[str, Any], *, typed: bool
) -> dict[str, Callable[..., Job[Any]]]:
    def operation(function: Callable[..., Any]) -> Callable[..., Job[Any]]:
        return _Submit(function, lambda keywords: submit(function, keywords=keywords, **request_options(options, typed=typed)))

    return {each: operation(function) for each, function in functions.items()}


def _work_component(
    name: str,
    engine: ProcessingEngine | ActionSystem,
    operations: Mapping[str, Callable[..., Any]],
    stalled_after: float,
    restart: Callable[[], object] | None,
) -> Component:
    return Component(
        name,
        operations,
        check=partial(check_serving, engine, stalled_after),
        restart=restart if restart is not None else partial(restart_hung, engine),
        metrics=partial(work_figures, engine),
    )


class _Submit:
    """Submits a call of a function, and has the signature of that function."""

    def __init__(self, function: Callable[..., Any], submit: Callable[[Mapping[str, Any]], Job[Any]]) -> None:
        # The arguments of a request are checked against this signature.
        self.__wrapped__ = function
        self._submit = submit

    def __call__(self, **keywords: Any) -> Job[Any]:
        return self._submit(keywords)
