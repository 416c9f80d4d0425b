"""What is said about transactions in the same words to every database."""

from __future__ import annotations

import abc

from coterie.storage.transaction import Parameters


class Transacting(abc.ABC):
    """The end of a transaction, and what can be undone within it alone. One thread uses it at a time."""

    @property
    @abc.abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it a failed one."""

    @abc.abstractmethod
    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement, and return how many rows it touched."""

    def commit(self) -> None:
        """Commit. If that fails the transaction may still be open; after `ConnectionLost` only the server knows."""
        self.execute("COMMIT", ())

    def savepoint(self) -> None:
        """Begin what can be undone alone."""
        self.execute("SAVEPOINT one_work", ())

    def release(self) -> None:
        """Make it part of the transaction."""
        self.execute("RELEASE one_work", ())

    def undo(self) -> None:
        """Undo it."""
        self.execute("ROLLBACK TO one_work", ())
        self.execute("RELEASE one_work", ())

    def rollback(self) -> None:
        """Undo the whole transaction, if one is open."""
        if self.in_transaction:
            self.execute("ROLLBACK", ())
