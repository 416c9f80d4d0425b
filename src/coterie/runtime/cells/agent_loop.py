"""The settings of an agent's event loop: a handler of errors, and an owner for each task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from coterie.errors import describe
from coterie.runtime.references.logs import AgentLog


class TaskOwner(Protocol):
    """The incarnation that tasks belong to."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task when this incarnation ends."""
        ...


class LoopOwner(Protocol):
    """The agent whose loop it is."""

    last_error: str
    given_up: bool

    @property
    def incarnation(self) -> TaskOwner | None:
        """The current incarnation."""
        ...

    @property
    def log(self) -> AgentLog:
        """The agent's log."""
        ...


def prepare(loop: asyncio.AbstractEventLoop, owner: LoopOwner) -> None:
    """Log the errors of a loop for its agent, and cancel its tasks with the incarnation that created them.

    This covers tasks that code of the agent, or a library, makes by `asyncio.create_task`. The runtime's own tasks do not
    go through the factory.
    """

    def make_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        incarnation = owner.incarnation
        if incarnation is not None:
            incarnation.adopt(task)
        return task

    def failed(_: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
        if owner.given_up:
            # Its tasks cannot end any more.
            return
        error = what.get("exception")
        owner.last_error = describe(error) if error is not None else str(what.get("message"))
        owner.log.limited(logging.ERROR, "in the event loop: %s: %s", what.get("message"), owner.last_error, exc_info=error)

    loop.set_exception_handler(failed)
    loop.set_task_factory(make_task)  # type: ignore[arg-type] # the options of the factory depend on the version of Python
