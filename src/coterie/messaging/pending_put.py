"""Messages that wait outside a full mailbox."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import Completion
from coterie.messaging.envelope import Envelope


class PendingPut(Completion):
    """A message that waits outside a full mailbox. Done when it was accepted, refused or withdrawn."""

    __slots__ = ("_withdraw", "admitted", "envelope", "expired", "withdrawn")

    def __init__(self, envelope: Envelope, withdraw: Callable[[PendingPut], bool]) -> None:
        super().__init__()
        self.envelope = envelope
        self._withdraw = withdraw
        self.admitted = False
        """True if the mailbox accepted it."""
        self.expired = False
        """True if it was withdrawn after its own deadline."""
        self.withdrawn = False
        """True if it was withdrawn. If it was neither withdrawn nor admitted, the mailbox was closed meanwhile."""

    def withdraw(self) -> bool:
        """Withdraw the message. Return whether that was possible: it had been neither accepted nor refused."""
        withdrawn = self._withdraw(self)
        if withdrawn:
            self.end(withdrawn=True)
        return withdrawn

    def end(self, *, admitted: bool = False, withdrawn: bool = False) -> None:
        """Complete it. Only for the mailbox."""
        self._lock.acquire()
        self.admitted = admitted
        self.withdrawn = withdrawn
        self._done = True
        self._finish()
