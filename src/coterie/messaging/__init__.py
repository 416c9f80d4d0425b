"""Messages and their delivery: envelope, mailbox, dead letters, transport and link.

No message is lost in silence: each one that a mailbox accepts or refuses, and each frame that a link misses, is counted.
The runtime decides which agent handles a message, and on which thread.
"""

from coterie.messaging.dead_letters import DeadLetter, Reason
from coterie.messaging.envelope import MessagePriority
from coterie.messaging.message import Message, Request, Stream
from coterie.messaging.policy import MailboxPolicy, Overflow
from coterie.messaging.transport import BufferingTransport, LocalTransport, Receive, Transport

__all__ = [
    "BufferingTransport",
    "DeadLetter",
    "LocalTransport",
    "MailboxPolicy",
    "Message",
    "MessagePriority",
    "Overflow",
    "Reason",
    "Receive",
    "Request",
    "Stream",
    "Transport",
]
