"""The ends of a mailbox in tests: they call functions, or do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coterie.messaging.envelope import Envelope


def nothing(_: Envelope) -> None:
    """Forget a message."""


@dataclass(frozen=True)
class Ends:
    """Implements `MailboxEnds`."""

    make_room: Callable[[Envelope], None] = nothing
    refuse: Callable[[Envelope], None] = nothing
    expire_outside: Callable[[Envelope], None] = nothing


class Idle:
    """A taker that does not act when it is woken."""

    def wake(self) -> None: ...
