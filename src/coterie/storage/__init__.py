"""The database that memory, world and conversation share: one writer that groups commits, and many readers.

The default is SQLite in write-ahead mode, in one file; PostgreSQL implements the same contract, `Database`. The result of
a write is committed; a read sees one snapshot and runs on the calling thread. Each room brings its own tables, as a
`Schema` of numbered steps, and writes SQL that both databases understand (`coterie.storage.dialect`).

Several users of one file in one process share its writer; a second process is refused. Every error is a `StorageError`, whose
text has the remedy; without the extra ``postgres``, an address of PostgreSQL raises `ExtraMissing`.
"""

from coterie.storage.database import Database
from coterie.storage.location import open_database
from coterie.storage.migrations import Schema, Step
from coterie.storage.pending import Pending
from coterie.storage.sqlite import SqliteDatabase
from coterie.storage.transaction import Parameters, ReadTransaction, Row, Transaction

__all__ = [
    "Database",
    "Parameters",
    "Pending",
    "ReadTransaction",
    "Row",
    "Schema",
    "SqliteDatabase",
    "Step",
    "Transaction",
    "open_database",
]
