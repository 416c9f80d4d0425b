"""Who hears that a conversation's agent has ended for good, so that no front end waits for it for ever."""

from __future__ import annotations

from coterie.concurrency import Rank, new_lock
from coterie.conversation.state import ConversationState
from coterie.errors import ConversationFailed
from coterie.kernel import Address
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentDown, AgentRef, AgentRestarted, on


class MonitoredSessions:
    """The conversations of one host by the addresses of their agents. Safe from any thread; `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._states: dict[Address, ConversationState] = {}

    def __deepcopy__(self, memo: object) -> MonitoredSessions:
        return self

    def add(self, agent: AgentRef, state: ConversationState) -> None:
        """Note who belongs to an agent."""
        with self._lock:
            self._states[agent.address] = state

    def take(self, agent: AgentRef) -> ConversationState | None:
        """Return who belonged to an agent, and forget it."""
        with self._lock:
            return self._states.pop(agent.address, None)

    def take_all(self) -> list[ConversationState]:
        """Return all that there are, and forget them."""
        with self._lock:
            sessions = list(self._states.values())
            self._states.clear()
            return sessions


class MonitorSession(Message):
    """A conversation was opened."""

    agent: AgentRef


class AwaitMonitored(Request[None]):
    """Ends when all that were opened before are watched."""


class SessionMonitor(Agent):
    """One for each host. Closes the feed of a conversation whose agent has ended."""

    def __init__(self, monitored: MonitoredSessions) -> None:
        self._monitored = monitored

    def on_stop(self) -> None:
        """End all reading: the runtime stops, or the host was closed, and nobody tells of more."""
        for state in self._monitored.take_all():
            state.event_stream.close()

    @on
    def look(self, message: MonitorSession) -> None:
        """Watch one more; if it has ended already, that is heard at once."""
        self.context.watch(message.agent)

    @on
    def looked(self, _message: AwaitMonitored) -> None:
        """Say that what came before has been done."""

    @on
    def restarted(self, _message: AgentRestarted) -> None:
        """Hear that one goes on after a failure, which its log tells; its readers need not know."""

    @on
    def down(self, message: AgentDown) -> None:
        """Hear that one has ended."""
        state = self._monitored.take(message.agent)
        if state is not None:
            state.event_stream.close(ConversationFailed(state.name, message.error) if message.reason == "failed" else None)
