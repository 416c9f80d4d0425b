"""The parts that all databases share: the write queue, the writer that groups commits, the pool of readers."""

from coterie.storage.engine.contract import (
    ConnectionLost,
    ReadingConnection,
    Store,
    Transacting,
    Work,
    WriteOutcome,
    WritingConnection,
)
from coterie.storage.engine.grouping import run_group
from coterie.storage.engine.handle import BaseDatabase
from coterie.storage.engine.shared import SharedDatabase

__all__ = [
    "BaseDatabase",
    "ConnectionLost",
    "ReadingConnection",
    "SharedDatabase",
    "Store",
    "Transacting",
    "Work",
    "WriteOutcome",
    "WritingConnection",
    "run_group",
]
