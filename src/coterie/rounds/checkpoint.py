"""Checkpoints: the state of a simulation after a round, in the database of its world's log."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from coterie.errors import CheckpointMissing, CheckpointRefused, describe
from coterie.rounds.proposals import Proposal, Verdict
from coterie.rounds.recorded import is_outside
from coterie.storage import Database, Pending, Schema, Transaction
from coterie.world import Event, ExternalEvent, Intent

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
        """
        CREATE TABLE rounds_digests (
            world TEXT NOT NULL,
            round BIGINT NOT NULL,
            digest TEXT NOT NULL,
            PRIMARY KEY (world, round)
        );
        """,
        """
        CREATE TABLE rounds_cut (
            world TEXT NOT NULL,
            number BIGINT NOT NULL,
            round BIGINT NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (world, number)
        );
        """,
    ),
)
_STORE = """
INSERT INTO rounds_checkpoints (world, round, sequence, body, checksum) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (world, round) DO UPDATE SET sequence = excluded.sequence, body = excluded.body, checksum = excluded.checksum
"""
_READ = "SELECT round, body, checksum FROM rounds_checkpoints WHERE world = ? ORDER BY round DESC"
_DIGEST = """
INSERT INTO rounds_digests (world, round, digest) VALUES (?, ?, ?)
ON CONFLICT (world, round) DO UPDATE SET digest = excluded.digest
"""
_DIGESTS = "SELECT round, digest FROM rounds_digests WHERE world = ? AND round <= ? ORDER BY round"
_NEWEST_ROUND = "SELECT coalesce(max(round), 0) FROM rounds_checkpoints WHERE world = ?"
_THIN = "DELETE FROM rounds_checkpoints WHERE world = ? AND round <= ?"
_KEPT = 2
_CUT = "SELECT body FROM rounds_cut WHERE world = ? ORDER BY number"
_CLEAR = "DELETE FROM rounds_cut WHERE world = ?"
_ADD = "INSERT INTO rounds_cut (world, number, round, body) VALUES (?, ?, ?, ?)"
_SETTLE = "DELETE FROM rounds_cut WHERE world = ? AND round > 0 AND round <= ?"
_MADE = """
DELETE FROM rounds_cut WHERE world = ? AND number = (SELECT min(number) FROM rounds_cut WHERE world = ? AND round = 0)
"""

_log = logging.getLogger(__name__)


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
    activation: str = "at-once"
    born: list[str] = []
    """The agents that were born and take part, or will in the next round."""
    births: list[str] = []
    deaths: list[str] = []
    """The agents that join and leave before the next round because of births and deaths."""
    rules: str = ""
    """The text that identifies the rules of the run."""


class Checkpoints:
    """The checkpoints of the simulation of one world, in the database of its log. The newest two are kept."""

    def __init__(self, database: Database, world: str) -> None:
        self._database = database
        self._world = world
        self._stored = -1
        """The last round that this object has stored: the digests up to it are stored."""
        database.migrate(_SCHEMA)

    def store(self, checkpoint: Checkpoint) -> Pending[None]:
        """Store a checkpoint; once the returned result is there it survives the end of the process. Raises `CheckpointRefused`.

        Of the digests only the new one is written, so that the cost does not grow with the rounds.
        """
        try:
            body = msgspec.msgpack.encode(msgspec.structs.replace(checkpoint, digests=[]), enc_hook=_plain)
        except (TypeError, OverflowError) as error:
            raise CheckpointRefused("the return value of a stage", describe(error)) from error
        row = (self._world, checkpoint.round, checkpoint.sequence, body, zlib.crc32(body))

        def write(transaction: Transaction) -> None:
            transaction.execute(_STORE, row)
            whole = self._stored == checkpoint.round - 1
            for number in range(checkpoint.round if whole else 1, checkpoint.round + 1):
                transaction.execute(_DIGEST, (self._world, number, checkpoint.digests[number - 1]))
            transaction.execute(_THIN, (self._world, checkpoint.round - _KEPT))
            transaction.execute(_SETTLE, (self._world, checkpoint.round))
            # Only the writer's thread uses it. If the transaction fails, the digests of all rounds are written the next time.
            self._stored = checkpoint.round

        return self._database.write(write, durable=False)

    def newest(self) -> Checkpoint | None:
        """Return the newest readable checkpoint, or None without any checkpoint.

        A damaged one is logged. Raises `CheckpointMissing` if all are damaged.
        """
        rows = self._database.rows(_READ, (self._world,))
        problems = []
        for number, body, checksum in rows:
            try:
                return self._decode(body, checksum)
            except CheckpointMissing as error:
                _log.error("the checkpoint of round %d is passed over: %s", number, error)
                problems.append(error)
        if problems:
            raise problems[0]
        return None

    def cut(self) -> list[Event]:
        """Return the decisions that a resumption has cut off the log, and that have not been made again."""
        rows = self._database.rows(_CUT, (self._world,))
        return [msgspec.msgpack.decode(row[0], type=Event) for row in rows]

    def keep_cut(self, decisions: Sequence[Event]) -> Callable[[Transaction], object]:
        """Return what keeps decisions in the transaction that cuts them off the log, so that a further kill does not lose them."""
        # Changes from outside are in no round: they are forgotten one by one as they are made again.
        rounds = [0 if is_outside(event) else max(1, event.round) for event in decisions]
        rows = [
            (self._world, number, round_, msgspec.msgpack.encode(event, enc_hook=_plain))
            for number, (round_, event) in enumerate(zip(rounds, decisions, strict=True))
        ]

        def keep(transaction: Transaction) -> None:
            transaction.execute(_CLEAR, (self._world,))
            for row in rows:
                transaction.execute(_ADD, row)

        return keep

    def made_again(self, transaction: Transaction) -> None:
        """Forget the first change from outside that was cut off, in the transaction that makes it again."""
        transaction.execute(_MADE, (self._world, self._world))

    def newest_round(self) -> int:
        """Return the round of the newest checkpoint, which is not read; 0 without one."""
        row = self._database.row(_NEWEST_ROUND, (self._world,))
        return int(row[0]) if row is not None else 0

    def _decode(self, body: bytes, checksum: int) -> Checkpoint:
        if zlib.crc32(body) != checksum:
            raise CheckpointMissing(self._database.name, "the checksum of the newest checkpoint is wrong")
        try:
            checkpoint = msgspec.msgpack.decode(body, type=Checkpoint)
        except msgspec.MsgspecError as error:
            raise CheckpointMissing(self._database.name, f"the newest checkpoint cannot be read: {error}") from error
        if checkpoint.digests:
            # Stored by an earlier version.
            return checkpoint
        digests = self._database.rows(_DIGESTS, (self._world, checkpoint.round))
        if [row[0] for row in digests] != list(range(1, checkpoint.round + 1)):
            raise CheckpointMissing(self._database.name, "the digests of earlier rounds are not all there")
        return msgspec.structs.replace(checkpoint, digests=[row[1] for row in digests])


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return dict(value)
    raise TypeError(f"a {type(value).__qualname__} is not plain data")
