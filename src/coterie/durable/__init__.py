"""The storage of durable agents: states, events, messages that survive, answers, subscriptions.

This room knows no agent and no thread. `coterie.runtime` activates durable agents (`Runtime.entity`) and gives each
handled message to `DurableStore.commit` as one `DurableChange`, which is stored in one transaction.
"""

from coterie.durable.background import BackgroundWrites
from coterie.durable.claims import Claim, Claims
from coterie.durable.records import (
    DurableChange,
    Identity,
    OperationAnswer,
    OutgoingMessage,
    StoredEvent,
    StoredMessage,
    StoredState,
)
from coterie.durable.store import DurableStore

__all__ = [
    "BackgroundWrites",
    "Claim",
    "Claims",
    "DurableChange",
    "DurableStore",
    "Identity",
    "OperationAnswer",
    "OutgoingMessage",
    "StoredEvent",
    "StoredMessage",
    "StoredState",
]
