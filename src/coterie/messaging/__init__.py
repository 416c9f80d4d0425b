"""Messages and the ways they go: envelope, mailbox, dead letters, transport and link.

This room moves messages and loses none in silence: what a mailbox takes or refuses, and what a link misses, is counted.
Who handles a message, and on which thread, is the runtime's business.
"""

from coterie.messaging.dead_letters import DeadLetter, DeadLetters, Reason
from coterie.messaging.envelope import Envelope, MessagePriority, Reference, ReplyPort
from coterie.messaging.link import Link, LinkStatistics
from coterie.messaging.mailbox import Mailbox, PendingPut
from coterie.messaging.message import Message, Request, reply_type
from coterie.messaging.policy import MailboxPolicy, Overflow
from coterie.messaging.transport import LocalTransport, Receive, Transport

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "Envelope",
    "Link",
    "LinkStatistics",
    "LocalTransport",
    "Mailbox",
    "MailboxPolicy",
    "Message",
    "MessagePriority",
    "Overflow",
    "PendingPut",
    "Reason",
    "Receive",
    "Reference",
    "ReplyPort",
    "Request",
    "Transport",
    "reply_type",
]
