"""An ask that never blocks the thread of the asker."""

from __future__ import annotations

from typing import TypeVar

from coterie.errors import DeliveryError
from coterie.messaging import MessagePriority, Request
from coterie.messaging.envelope import Envelope
from coterie.runtime.references.invocation import carried
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.references.reply import Reply

R = TypeVar("R")


def ask_in_background(agent: AgentRef, message: Request[R]) -> Reply[R]:
    """Send a request in nobody's name, without a limit of time, and return its reply.

    At a full mailbox whose policy is to wait, the request waits in the background. Raises `EncodeFailed` for a request that must
    cross a wire and cannot be encoded; every other failure is an outcome of the reply.
    """
    reply: Reply[R] = Reply(agent._services, agent._endpoint, None)  # noqa: SLF001 - the same package, as below
    envelope = Envelope(message, None, reply, None, MessagePriority.NORMAL, context=carried())
    reply.expects(envelope)
    try:
        pending = agent._deliver(envelope)  # noqa: SLF001
        if pending is not None:
            agent._attend(pending, reply)  # noqa: SLF001
    except DeliveryError as error:
        reply.fail(error)
    return reply
