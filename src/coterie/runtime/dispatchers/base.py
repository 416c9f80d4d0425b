"""The contract between agents and the dispatchers that give them threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from coterie.kernel import Clock
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.dispatchers.resources import DispatcherResources


class WaitMeter:
    """The seconds for which an agent has waited for a thread. Its executor writes them, one thread at a time; any thread reads."""

    __slots__ = ("_clock", "_state")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._state: tuple[float, float | None] = (0.0, None)
        """The seconds of ended waits, and the beginning of the current one. Both change in one assignment."""

    def begin(self) -> None:
        """Count from now: the agent has something to do, and no thread."""
        self._state = (self._state[0], self._clock.monotonic())

    def end(self) -> None:
        """Stop counting: the agent has a thread."""
        total, since = self._state
        if since is not None:
            self._state = (total + self._clock.monotonic() - since, None)

    def seconds(self) -> float:
        """Return the seconds so far."""
        total, since = self._state
        return total if since is None else total + self._clock.monotonic() - since


class Schedulable(Protocol):
    """An agent, as a dispatcher sees it: it runs on one thread at a time."""

    @property
    def name(self) -> str:
        """The name for its thread."""
        ...

    def turn(self, quantum: int) -> bool:
        """Handle about `quantum` messages at most. Return whether there are more. Must not raise.

        Called on the thread that holds the agent, outside of its event loop, and never twice at once.
        """
        ...


class AgentExecutor(Protocol):
    """Executes the turns of one agent."""

    @property
    def thread_id(self) -> int | None:
        """The identifier of the thread that runs the agent right now, or None."""
        ...

    @property
    def busy(self) -> bool:
        """True while the agent's code runs or is about to, and false while it waits for something to do."""
        ...

    @property
    def queued(self) -> bool:
        """True while the agent has something to do, and waits for a thread."""
        ...

    def measure_waits(self) -> Callable[[], float]:
        """Return a function that returns the seconds for which the agent has waited for a thread since the first such call."""
        ...

    @property
    def steps(self) -> int:
        """Grows with every step of the event loop: as long as it grows, the loop is not stuck."""
        ...

    def wake(self) -> None:
        """Ensure that `turn` is called soon after this call. Safe from any thread; does nothing once closed."""
        ...

    def loop(self) -> AgentLoop:
        """Return the agent's event loop, which is made at the first call. Only on the agent's thread."""
        ...

    def has_loop(self) -> bool:
        """Return whether the event loop has been made."""
        ...

    def interrupt(self) -> None:
        """Leave the event loop soon, because a turn is due. Only on the agent's thread."""
        ...

    def before_blocking(self) -> None:
        """Prepare for a deliberate block of the agent's thread. Only on that thread."""
        ...

    def close(self) -> None:
        """End after this turn: the agent has ended. Only on the agent's thread."""
        ...


class Scheduler(Protocol):
    """Gives threads to the agents of one runtime."""

    def executor(self, schedulable: Schedulable) -> AgentExecutor:
        """Return an executor for a new agent. Raises `RuntimeError` when the system has no thread to give."""
        ...

    def running(self) -> Iterator[tuple[Schedulable, AgentExecutor]]:
        """Yield the agents that are, or just were, on a thread."""
        ...

    @property
    def threads(self) -> int:
        """The number of threads now."""
        ...

    def close(self, timeout: float) -> None:
        """End the threads, waiting up to `timeout` seconds. The agents have ended or are abandoned."""
        ...


class Dispatcher(Protocol):
    """A way to give threads to agents, as a value: immutable, comparable, good for any number of runtimes."""

    def open(self, resources: DispatcherResources) -> Scheduler:
        """Return a scheduler of this kind for one runtime."""
        ...
