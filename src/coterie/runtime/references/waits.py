"""The graph of agents that wait for one another, to detect wait cycles before an agent waits in one."""

from __future__ import annotations

from typing import Protocol

from coterie.concurrency import Completion, Rank, new_lock
from coterie.errors import WaitCycle


class Waiter(Protocol):
    """An agent, as a node of the graph. The graph alone writes `waits_for`."""

    @property
    def name(self) -> str:
        """The name of the agent, for the error."""
        ...

    @property
    def waits_for(self) -> dict[Completion, Waiter]:
        """The agents that this one waits for, each by the outcome that it waits for."""
        ...


class Holder(Protocol):
    """The handler that waits."""

    @property
    def cell(self) -> Waiter:
        """Its agent."""
        ...

    @property
    def active(self) -> bool:
        """True until it has ended."""
        ...


class WaitGraph:
    """The agents of one runtime that wait for one another.

    An edge leads from an agent to another as long as the first can handle no message until the second has answered an ask that
    a handler waits for, or has made room in a full mailbox. The wait of an interleaving handler makes no edge. An edge whose
    outcome has arrived no longer counts, even if the waiting agent has not woken up yet; nor does the edge of a handler that
    ended before its ask. If the agent that was asked passes the ask on to another, the edge leads to that one.

    Safe from any thread: `_lock` guards all edges, so if two agents begin to wait for each other, exactly one gets the error.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.WAITS)
        self._holders: dict[Completion, Holder] = {}
        self._passed: dict[Completion, tuple[Completion, Waiter]] = {}
        """For an ask that was passed on: the ask that it depends on, and the agent that was asked."""
        self._origins: dict[Completion, Completion] = {}
        """The reverse of `_passed`."""

    def enter(self, waiting: Waiter, target: Waiter, outcome: Completion, holder: Holder | None = None) -> None:
        """Add an edge: while `holder` runs, `waiting` waits for an outcome that depends on `target`.

        Does nothing if the outcome has arrived. Raises `WaitCycle`, and adds nothing, if that closes a cycle.
        """
        with self._lock:
            if outcome.done:
                # Both sides of a stream may get there, one after the other, and neither waits for the other any more.
                return
            path = self._path(self._target(outcome, target), waiting)
            if path is None:
                if holder is not None:
                    self._holders[outcome] = holder
                waiting.waits_for[outcome] = target
                return
        raise WaitCycle([waiting.name, *(agent.name for agent in path)])

    def leave(self, waiting: Waiter, outcome: Completion) -> None:
        """Remove the edge of an outcome, if there is one."""
        with self._lock:
            waiting.waits_for.pop(outcome, None)
            self._holders.pop(outcome, None)

    def pass_on(self, outcome: Completion, to: Completion, target: Waiter) -> None:
        """Let an outcome depend on another ask, that of `target`. Raises `WaitCycle` if that closes a cycle."""
        with self._lock:
            self._passed[outcome] = to, target
            self._origins[to] = outcome
            first = outcome
            while first in self._origins:
                first = self._origins[first]
            holder = self._holders.get(first)
            if holder is None or not self._counts(first):
                return
            waiting = holder.cell
            path = self._path(self._target(to, target), waiting)
        if path is not None:
            raise WaitCycle([waiting.name, *(agent.name for agent in path)])

    def forget(self, outcome: Completion) -> None:
        """Forget that an outcome, which has arrived, was passed on."""
        with self._lock:
            to, _ = self._passed.pop(outcome, (outcome, None))
            self._origins.pop(to, None)

    def _target(self, outcome: Completion, target: Waiter) -> Waiter:
        """Return the agent that an outcome depends on."""
        while outcome in self._passed:
            outcome, target = self._passed[outcome]
        return target

    def _counts(self, outcome: Completion) -> bool:
        holder = self._holders.get(outcome)
        return not outcome.done and (holder is None or holder.active)

    def _path(self, start: Waiter, end: Waiter) -> list[Waiter] | None:
        """Return the agents from `start` to `end` along the edges, both included, or None if the edges do not lead there."""
        came_from: dict[int, Waiter | None] = {id(start): None}
        pending = [start]
        while pending:
            agent = pending.pop()
            if agent is end:
                path: list[Waiter] = []
                step: Waiter | None = agent
                while step is not None:
                    path.append(step)
                    step = came_from[id(step)]
                return path[::-1]
            for outcome, asked in agent.waits_for.items():
                target = self._target(outcome, asked)
                if self._counts(outcome) and id(target) not in came_from:
                    came_from[id(target)] = agent
                    pending.append(target)
        return None
