"""An agent that takes no messages for a while, for one or more reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coterie.runtime.cells.states import Suspension
from coterie.runtime.dispatchers.base import AgentExecutor

_EXCLUSIVE = Suspension.EXCLUSIVE


class Suspendable:
    """The reasons why an agent takes no messages. Only the agent's thread changes them; others may read."""

    __slots__ = ("_at_rest", "_held")

    executor: AgentExecutor

    def __init__(self) -> None:
        self._held = int(Suspension.LIFE)
        self._at_rest: list[Callable[[], object]] | None = None

    def hold(self, reason: Suspension) -> None:
        """Take no messages until `release`. Only on the agent's thread."""
        self._held |= reason

    def release(self, reason: Suspension) -> None:
        """Take messages again, unless another reason remains. Only on the agent's thread."""
        self._held &= ~reason
        self.executor.interrupt()
        if self._at_rest and not self._held & _EXCLUSIVE:
            waiting, self._at_rest = self._at_rest, None
            for then in waiting:
                then()

    def is_held(self, reason: Suspension) -> bool:
        """Return whether this is one of the reasons why the agent takes no messages."""
        return bool(self._held & reason)

    def call_at_rest(self, then: Callable[[], object]) -> None:
        """Call `then` once no handler keeps the agent from its next message. Only on the agent's thread."""
        if self.is_held(_EXCLUSIVE):
            self._at_rest = [*(self._at_rest or ()), then]
        else:
            then()


class BlockableAgent(Protocol):
    """An agent that may block its thread."""

    blocking: bool

    @property
    def executor(self) -> AgentExecutor:
        """The executor of its turns."""
        ...


class Blocked:
    """Marks an agent as blocked for the length of a ``with`` block, on its thread. Other agents get another thread first."""

    __slots__ = ("_agent",)

    def __init__(self, agent: BlockableAgent) -> None:
        self._agent = agent

    def __enter__(self) -> None:
        # First, for it may take a while to give the slot to another agent, and that is not a stall.
        self._agent.blocking = True
        try:
            self._agent.executor.before_blocking()
        except BaseException:
            self._agent.blocking = False
            raise

    def __exit__(self, *_: object) -> None:
        self._agent.blocking = False
