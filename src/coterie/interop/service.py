"""What all endpoints share."""

from __future__ import annotations

import asyncio

from coterie.conversation import Conversations
from coterie.interop.options import ServingOptions
from coterie.interop.threads.records import Records
from coterie.interop.threads.threads import Threads
from coterie.kernel import Clock


class Service:
    """The conversations that are served, and the limits. Only the server's loop touches it."""

    def __init__(
        self, name: str, conversations: Conversations, records: Records, options: ServingOptions, clock: Clock
    ) -> None:
        self.name = name
        """What the assistant is called, as a model."""
        self.conversations = conversations
        self.records = records
        self.options = options
        self.clock = clock
        self.threads = Threads(conversations, records, clock, options.open_threads)
        self.closing = asyncio.Event()
        """Set when the server ends, so that endless streams do too."""
