"""Checkpoints: the state of a simulation after a round, in the database of its world's log."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from coterie.errors import CheckpointMissing, CheckpointRefused, describe
from coterie.rounds.proposals import Proposal, Verdict
from coterie.storage import Database, Schema, Transaction
from coterie.world import ExternalEvent, Intent

_SCHEMA = Schema(
    "rounds",
    (
        """
        CREATE TABLE rounds_checkpoints (
            world TEXT NOT NULL,
            round BIGINT NOT NULL,
            sequence BIGINT NOT NULL,
            body BYTEA NOT NULL,
            checksum BIGINT NOT NULL,
            PRIMARY KEY (world, round)
        );
        """,
    ),
)
_STORE = """
INSERT INTO rounds_checkpoints (world, round, sequence, body, checksum) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (world, round) DO UPDATE SET sequence = excluded.sequence, body = excluded.body, checksum = excluded.checksum
"""
_READ = "SELECT body, checksum FROM rounds_checkpoints WHERE world = ? ORDER BY round DESC LIMIT 1"
_THIN = "DELETE FROM rounds_checkpoints WHERE world = ? AND round <= ?"
_KEPT = 2


class TokenState(msgspec.Struct):
    """The position of one agent, and its state."""

    name: str
    round: int
    stage: str
    status: str
    inputs: dict[str, Any]
    visits: dict[str, int]
    intended: int
    sequence: int
    proposals: list[Proposal]
    kept: bytes | None
    latest: bytes | None
    last: int = -1
    back: int = 0


class RoundState(msgspec.Struct):
    """An open round, in `Mode.TOKENS`."""

    number: int
    first: int
    sequence: int
    """The sequence number of its opening view."""
    intents: list[Intent]
    inside: list[str]
    commits: int
    gatherings: int
    notes: list[ExternalEvent]
    verdicts: list[Verdict]


class Checkpoint(msgspec.Struct):
    """A simulation after a settled round."""

    round: int
    sequence: int
    """The last event of its world."""
    digest: str
    mode: str
    seed: int | str
    graph: list[str]
    tokens: list[TokenState]
    rounds: list[RoundState]
    digests: list[str]
    forfeits: int
    stopped: str
    extras: dict[str, bytes]
    """The snapshots of the simulation's `keep`, by name."""
    errors: int = 0
    proven: list[str] | None = None
    """The stages that are not checked for failing for every agent; None for all of them."""


class Checkpoints:
    """The checkpoints of the simulation of one world, in the database of its log. The newest two are kept."""

    def __init__(self, database: Database, world: str) -> None:
        self._database = database
        self._world = world
        database.migrate(_SCHEMA)

    def store(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint. After the return it survives the end of the process. Raises `CheckpointRefused`."""
        try:
            body = msgspec.msgpack.encode(checkpoint, enc_hook=_plain)
        except (TypeError, OverflowError) as error:
            raise CheckpointRefused("the return value of a stage", describe(error)) from error
        row = (self._world, checkpoint.round, checkpoint.sequence, body, zlib.crc32(body))

        def write(transaction: Transaction) -> None:
            transaction.execute(_STORE, row)
            transaction.execute(_THIN, (self._world, checkpoint.round - _KEPT))

        self._database.write(write, durable=False).result()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint or None. Raises `CheckpointMissing` if it cannot be read."""
        row = self._database.row(_READ, (self._world,))
        if row is None:
            return None
        body, checksum = row
        if zlib.crc32(body) != checksum:
            raise CheckpointMissing(self._database.name, "the checksum of the newest checkpoint is wrong")
        try:
            return msgspec.msgpack.decode(body, type=Checkpoint)
        except msgspec.MsgspecError as error:
            raise CheckpointMissing(self._database.name, f"the newest checkpoint cannot be read: {error}") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return dict(value)
    raise TypeError(f"a {type(value).__qualname__} is not plain data")
