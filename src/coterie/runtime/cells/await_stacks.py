"""The stacks of the awaits of one life of an agent, as text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from coterie.concurrency.threads import await_stack_of


class RunningTask(Protocol):
    """An ``async`` handler or hook that runs as a task of the runtime's own."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task; None until it is made."""
        ...


class AwaitingLife(Protocol):
    """One life of an agent."""

    @property
    def handler_tasks(self) -> Sequence[RunningTask]:
        """The ``async`` handlers and hooks that run."""
        ...

    @property
    def tasks(self) -> dict[asyncio.Task[Any], None]:
        """Background tasks."""
        ...


def await_stacks(life: AwaitingLife | None) -> str:
    """Return where the ``async`` handlers, hooks and background tasks of a life await. From any thread."""
    if life is None:
        return ""
    drives = [each.task.get_coro() for each in life.handler_tasks if each.task is not None]
    works = [getattr(drive, "gi_yieldfrom", None) or getattr(drive, "cr_await", None) for drive in drives] + [
        task.get_coro() for task in life.tasks.copy()
    ]
    return "\n".join(filter(None, map(await_stack_of, works)))
