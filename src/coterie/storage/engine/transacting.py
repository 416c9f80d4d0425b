"""Transaction statements that are the same for all databases."""

from __future__ import annotations

import abc

from coterie.storage.transaction import Parameters


class Transacting(abc.ABC):
    """Ends transactions and manages savepoints. One thread uses it at a time."""

    @property
    @abc.abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open, even a failed one."""

    @abc.abstractmethod
    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement and return the number of changed rows."""

    def commit(self) -> None:
        """Commit. After a failure the transaction may still be open; after `ConnectionLost` only the server knows."""
        self.execute("COMMIT", ())

    def savepoint(self) -> None:
        """Set a savepoint."""
        self.execute("SAVEPOINT one_work", ())

    def release(self) -> None:
        """Merge the savepoint into the transaction."""
        self.execute("RELEASE one_work", ())

    def undo(self) -> None:
        """Roll back to the savepoint."""
        self.execute("ROLLBACK TO one_work", ())
        self.execute("RELEASE one_work", ())

    def rollback(self) -> None:
        """Undo the whole transaction, if one is open."""
        if self.in_transaction:
            self.execute("ROLLBACK", ())
