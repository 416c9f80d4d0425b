"""The contract between agents and what gives them threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from coterie.concurrency import Timers
from coterie.kernel import Clock


@dataclass(frozen=True, slots=True)
class DispatcherResources:
    """What an scheduler may use of its runtime."""

    name: str
    """Begins the names of its threads."""
    clock: Clock
    timers: Timers
    blocking: Executor
    """Where `run_in_executor` of the agents' loops leads."""


class Schedulable(Protocol):
    """Somebody who works on one thread at a time: an agent."""

    @property
    def name(self) -> str:
        """What its thread may be called."""
        ...

    def turn(self, quantum: int) -> bool:
        """Do what there is to do, about `quantum` messages at most. Return whether there is more. Must not raise.

        Called on the thread that holds the schedulable, outside of its event loop, and never twice at once.
        """
        ...


class AgentExecutor(Protocol):
    """The place where one schedulable gets its thread."""

    @property
    def thread_id(self) -> int | None:
        """The thread that runs the schedulable right now, None if there is none."""
        ...

    @property
    def busy(self) -> bool:
        """Whether the schedulable's code runs, or is about to, as opposed to waiting for something to do."""
        ...

    @property
    def steps(self) -> int:
        """Grows with every step of the event loop: as long as it grows, the loop is not stuck."""
        ...

    def wake(self) -> None:
        """See to it that `turn` is called, soon, after this. Safe from any thread; does nothing once closed."""
        ...

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the schedulable's event loop, which is made at the first call. Only on the schedulable's thread."""
        ...

    def has_loop(self) -> bool:
        """Whether the event loop has been made."""
        ...

    def interrupt(self) -> None:
        """Leave the event loop soon, because a turn is due. Only on the schedulable's thread."""
        ...

    def before_blocking(self) -> None:
        """Be told that the schedulable's thread is about to block knowingly. Only on that thread."""
        ...

    def close(self) -> None:
        """Be told that the schedulable has ended: no turn after this one. Only on the schedulable's thread."""
        ...


class Scheduler(Protocol):
    """What gives threads to the agents of one runtime."""

    def executor(self, schedulable: Schedulable) -> AgentExecutor:
        """Return an executor for a new schedulable. Raises `RuntimeError` when the system has no thread to give."""
        ...

    def running(self) -> Iterator[tuple[Schedulable, AgentExecutor]]:
        """Yield the schedulables that are, or just were, on a thread."""
        ...

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        ...

    def close(self, timeout: float) -> None:
        """End all threads that will end within `timeout` seconds. The schedulables have ended, or are given up."""
        ...


class Dispatcher(Protocol):
    """A way to give threads to agents, as a value: immutable, comparable, good for any number of runtimes."""

    def open(self, resources: DispatcherResources) -> Scheduler:
        """Return an scheduler that works this way."""
        ...
