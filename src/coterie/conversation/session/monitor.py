"""Monitor the agents of conversations, so that no reader waits forever for an agent that ended."""

from __future__ import annotations

from coterie.concurrency import Rank, new_lock
from coterie.conversation.state import ConversationState
from coterie.errors.conversation import ConversationFailed
from coterie.kernel import Address
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentDown, AgentRef, AgentRestarted, on


class MonitoredSessions:
    """The conversations of one host by the addresses of their agents. Safe from any thread; `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._sessions: dict[Address, tuple[AgentRef, ConversationState]] = {}

    def __deepcopy__(self, memo: object) -> MonitoredSessions:
        return self

    def add(self, agent: AgentRef, state: ConversationState) -> None:
        """Add the conversation of an agent."""
        with self._lock:
            self._sessions[agent.address] = agent, state

    def take(self, agent: AgentRef) -> ConversationState | None:
        """Remove and return the conversation of an agent."""
        with self._lock:
            _, state = self._sessions.pop(agent.address, (None, None))
        return state

    def take_all(self) -> list[ConversationState]:
        """Remove and return all conversations."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        return [state for _, state in sessions]

    def all(self) -> list[tuple[AgentRef, ConversationState]]:
        """Return the agents and their conversations."""
        with self._lock:
            return list(self._sessions.values())


class MonitorSession(Message):
    """Monitor the agent of a conversation that was opened."""

    agent: AgentRef


class AwaitMonitored(Request[None]):
    """Wait until all agents that were named before are monitored."""


class SessionMonitor(Agent):
    """Closes the event stream of a conversation whose agent has ended. Each host has one."""

    records_spans = False

    def __init__(self, monitored: MonitoredSessions) -> None:
        self._monitored = monitored

    def on_stop(self) -> None:
        """End all readers: the runtime stops or the host was closed, so no event follows."""
        for state in self._monitored.take_all():
            state.event_stream.close()

    @on
    def look(self, message: MonitorSession) -> None:
        """Watch an agent; if it has ended already, the notice comes at once."""
        self.context.watch(message.agent)

    @on
    def looked(self, _message: AwaitMonitored) -> None:
        """Return after the earlier messages."""

    @on
    def restarted(self, _message: AgentRestarted) -> None:
        """Ignore a restart: the agent's log reports it, and its readers continue."""

    @on
    def down(self, message: AgentDown) -> None:
        """Close the event stream of an agent that ended."""
        state = self._monitored.take(message.agent)
        if state is not None:
            state.event_stream.close(ConversationFailed(state.name, message.error) if message.reason == "failed" else None)
