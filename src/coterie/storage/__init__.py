"""The journal that memory, world and conversation share: one writer that groups its commits, and many readers.

SQLite in write-ahead mode by default, in one file, and PostgreSQL behind the same contract, `Database`. What a write
returned is committed; a read is of one moment, and runs on the thread that asks. Each room brings its own tables, as a
`Schema` whose steps are numbered, and writes SQL that both understand (`coterie.storage.dialect`).

Several users of one file in one process share its writer; a second process is refused. Every error is a `StorageError`
and says what to do.
"""

from coterie.storage.database import Database, StorageStatistics
from coterie.storage.dialect import Dialect
from coterie.storage.location import open_database
from coterie.storage.migrations import Schema, Step, by_dialect
from coterie.storage.pending import Pending
from coterie.storage.postgres import PostgresDatabase
from coterie.storage.sqlite import SqliteDatabase
from coterie.storage.transaction import Parameters, ReadTransaction, Row, Transaction

__all__ = [
    "Database",
    "Dialect",
    "Parameters",
    "Pending",
    "PostgresDatabase",
    "ReadTransaction",
    "Row",
    "Schema",
    "SqliteDatabase",
    "Step",
    "StorageStatistics",
    "Transaction",
    "by_dialect",
    "open_database",
]
