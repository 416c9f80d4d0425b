"""Errors of asks and tells. See `coterie.errors` for the tree."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from coterie.errors.general import CoterieError


class DeliveryError(CoterieError):
    """A message was not accepted or not answered."""


class HandlerFailed(DeliveryError):
    """The handler of a message raised.

    `__cause__` is the error of the handler: the object itself if asker and agent share a process, otherwise a
    `RemoteError` with its text.
    """

    def __init__(self, agent: object, message: str, reason: str, traceback_text: str = "") -> None:
        self.agent = agent
        self.message = message
        self.reason = reason
        self._traceback_text = traceback_text
        super().__init__(f"{agent} failed to handle {message}: {reason}")

    @property
    def traceback_text(self) -> str:
        """The traceback of the handler's error in the agent's process; empty if unknown."""
        if self._traceback_text or self.__cause__ is None:
            return self._traceback_text
        return "".join(traceback.format_exception(self.__cause__))


class Unhandled(HandlerFailed):
    """The agent has no handler for messages of this type."""

    def __init__(self, agent: object, message: str, known: Sequence[str] = (), *, redefined: bool = False) -> None:
        if redefined:
            reason = (
                f"its handler is for another class named {message}, which was defined a second time, as by a cell of a "
                "notebook that ran again; spawn the agent again, from a class that was defined after the message"
            )
        else:
            reason = f"it has no handler for that type, only for {', '.join(known) or 'nothing'}; add a method with @on"
        super().__init__(agent, message, reason)


class AskTimeout(DeliveryError, TimeoutError):
    """The deadline of an ask has passed. Whether the message was handled is unknown."""

    def __init__(self, agent: object, message: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(f"{agent} did not answer {message} within {timeout:g} s")


class AskCancelled(DeliveryError):
    """An ask was cancelled: its await was cancelled, or the agent restarted or stopped meanwhile."""

    def __init__(self, agent: object, message: str, reason: str) -> None:
        super().__init__(f"the ask of {agent} for {message} was cancelled: {reason}")


class AgentStopped(DeliveryError):
    """The agent has stopped or failed permanently. If it failed, the cause is its error."""

    def __init__(self, agent: object, message: str = "", reason: str = "it has stopped") -> None:
        what = f"cannot handle {message}" if message else "is gone"
        super().__init__(f"{agent} {what}: {reason}")


class RuntimeStopped(AgentStopped):
    """The runtime has stopped, or is stopping and accepts nothing from outside."""

    def __init__(self, runtime: object, what: str = "takes nothing more") -> None:
        DeliveryError.__init__(self, f"the runtime {runtime} has stopped and {what}")


class UnknownAgent(DeliveryError, LookupError):
    """No agent of that name or number was ever known at the address."""

    def __init__(self, address: object, reason: str = "no such agent is known there") -> None:
        super().__init__(f"{address}: {reason}")


class MailboxFull(DeliveryError):
    """The mailbox refused a message, because of its bound and its policy."""

    def __init__(self, agent: object, message: str, capacity: int, reason: str) -> None:
        super().__init__(f"the mailbox of {agent} refused {message}: it holds {capacity} already, {reason}")


class WaitCycle(DeliveryError):
    """Waiting would close a circle of agents that wait for each other. `agents` names them in order."""

    def __init__(self, agents: Sequence[str]) -> None:
        self.agents = tuple(agents)
        super().__init__(
            f"waiting would never end: {' -> '.join(self.agents)}; "
            "tell instead of ask, or mark the waiting handler @on(interleave=True)"
        )
