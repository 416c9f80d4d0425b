"""The result of publishing a message."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import Reference
from coterie.runtime.references.reference import AgentRef, post


class Publication(int):
    """The number of agents to which a message was published, as an `int`, and the agents whose full mailbox refused it."""

    refused: tuple[AgentRef, ...]
    """The agents that do not get the message. If the policy of an agent is to wait, the message waits; if no room comes, it
    becomes a dead letter, and the agent is not among these."""

    def __new__(cls, count: int, refused: Iterable[AgentRef] = ()) -> Publication:  # noqa: PYI034 - it has no subclasses
        """Return the number `count`, with the agents that refused the message."""
        publication = super().__new__(cls, count)
        publication.refused = tuple(refused)
        return publication


def post_to_all(agents: list[AgentRef], sender: Reference | None, message: Message, priority: MessagePriority) -> Publication:
    """Post a message to several agents, in the name of a sender."""
    refused = [agent for agent in agents if not post(agent, sender, message, priority)]
    return Publication(len(agents), refused)
