"""Messages and their delivery: envelope, mailbox, dead letters, transport and link.

No message is lost in silence: each one that a mailbox accepts or refuses, and each frame that a link misses, is counted.
The runtime decides which agent handles a message, and on which thread.
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
