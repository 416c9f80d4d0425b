"""The end of an incarnation, as a procedure: a generator that yields, for each wait, a function which takes a callback."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from coterie.errors import describe
from coterie.runtime.cells.grace import GracePeriod
from coterie.runtime.cells.incarnation import Incarnation
from coterie.runtime.cells.lifecycle_owner import LifecycleOwner
from coterie.runtime.definition.agent import Agent

Resume: TypeAlias = Callable[..., object]
Procedure: TypeAlias = Generator[Callable[[Resume], object], Any, None]


def take_down(
    cell: LifecycleOwner,
    grace: GracePeriod,
    error: BaseException | None,
    *,
    drain: Callable[[], bool],
    last: Callable[[], bool],
) -> Procedure:
    """End the current incarnation: hooks, tasks, children. `error` is the one that it failed with.

    `drain` tells whether the children handle their messages first, and `last` whether no other incarnation follows.
    """
    incarnation = cell.incarnation
    if incarnation is None:
        # Its thread was taken from it; the children are those of the incarnation before.
        yield from _stop_children(cell, grace, drain)
        return
    if error is not None:
        raised = yield from run_hook(incarnation, "on_failure", error)
        if raised is not None:
            cell.log.error("on_failure raised %s", describe(raised), exc_info=raised)
    incarnation.cancel_all()
    if not incarnation.is_idle:
        yield lambda resume: grace.wait(incarnation.when_idle, resume, "its tasks")
    # Tasks of a shielded handler have lived until here with it.
    if incarnation.cancel_other_tasks():
        yield lambda resume: grace.wait(incarnation.when_idle, resume, "its other tasks")
    yield from _stop_children(cell, grace, drain)
    raised = yield from run_hook(incarnation, "on_stop")
    if raised is not None:
        cell.last_error = describe(raised)
        cell.log.error("on_stop raised %s", describe(raised), exc_info=raised)
    incarnation.abandon()
    if incarnation.cancel_other_tasks():
        # The last hook has made some.
        yield lambda resume: grace.wait(incarnation.when_idle, resume, "its other tasks")
    if last() and cell.executor.has_loop():
        yield lambda resume: grace.wait(incarnation.close_generators, resume, "its generators")
    cell.incarnation = None
    # The next incarnation starts as the first did, and decides again which messages it can handle.
    cell.stash.put_back()


def run_hook(incarnation: Incarnation, name: str, *args: object) -> Generator[Any, Any, BaseException | None]:
    """Run a hook of the agent, and return its exception, or None."""
    hook = getattr(incarnation.agent, name)
    if not incarnation.constructed or getattr(hook, "__func__", None) is getattr(Agent, name):
        return None
    error: BaseException | None = yield lambda resume: incarnation.perform(lambda: hook(*args), resume)
    return error


def _stop_children(cell: LifecycleOwner, grace: GracePeriod, drain: Callable[[], bool]) -> Procedure:
    children = cell.children
    if children is not None:
        yield lambda resume: grace.wait(lambda done: children.stop_all(drain=drain(), then=done), resume, "its children")
