"""Forget a user wholly: conversations, operations, memories, and recordings of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import msgspec

from coterie.conversation.journal import Journal, key_of, parts_of
from coterie.conversation.memories import UserMemories
from coterie.errors import StorageError
from coterie.kernel import SystemClock
from coterie.memory import TieredMemory, forget_person
from coterie.models.recording.file import remove_agents
from coterie.storage import Database, Transaction

_KINDS = ("chat", "agui", "completions", "mcp", "a2a", "agent")
"""First parts of namespaces in which the second part, or the third of an agent, is the user."""
_TABLES = (
    ("conversation_log", "namespace"),
    ("conversation_notes", "namespace"),
    ("conversation_summaries", "namespace"),
    ("conversation_operations", "namespace"),
    ("conversation_leases", "holder"),
    ("conversation_sessions", "namespace"),
)
_LOOSE_TABLES = (("a2a_tasks", "owner", True), ("serving_told", "thread", False), ("serving_histories", "thread", False))
"""Tables of servers: the column, and whether it has the user (or the namespace as JSON)."""


class ForgetReport(msgspec.Struct, frozen=True):
    """What was forgotten of a user."""

    conversations: tuple[tuple[str, ...], ...]
    """The namespaces that are gone, with their logs, notes and operations."""
    memories: int = 0
    recordings: int = 0
    """Requests that were removed from recordings."""


def forget_user(
    database: Database,
    user: str,
    *,
    memory: TieredMemory | None = None,
    recordings: Iterable[str | PathLike[str]] = (),
) -> ForgetReport:
    """Delete all conversations of a user that is not at work, with their operations, memories and recordings; return a report.

    A conversation belongs to the user for whom it was opened, and so do those that it has opened with other assistants. The database
    is compacted, so that no deleted byte is left in its file. Backups, logs of the program, and what tools have done elsewhere are
    not covered. Safe to repeat. Raises errors of storage, of memory and of recordings.
    """
    journal = Journal(database, SystemClock())
    known = {parts_of(each) for each in journal.namespaces()}
    own = {each for each in known if journal.person(key_of(each)) == user or _names(each, user)}
    own |= {each for each in known if any(each[: len(root)] == root for root in own)}
    spaces = sorted(own)
    if spaces:
        database.write(lambda write: _delete(write, spaces)).result()
    for table, column, by_user in _LOOSE_TABLES:
        _delete_loosely(database, table, column, [user] if by_user else [_json(each) for each in spaces])
    database.compact()
    memories = 0
    if memory is not None:
        memories = forget_person(memory, owner=UserMemories.owner(user)).memories
    names = {"/".join(each) for each in spaces}
    removed = sum(remove_agents(Path(each), names) for each in recordings)
    return ForgetReport(conversations=tuple(spaces), memories=memories, recordings=removed)


def _names(namespace: tuple[str, ...], user: str) -> bool:
    """Return whether a namespace of a known kind names the user, for conversations of earlier versions."""
    if not user or namespace[0] not in _KINDS:
        return False
    place = 2 if namespace[0] == "agent" else 1
    return len(namespace) > place and namespace[place] == user


def _delete(write: Transaction, spaces: Sequence[tuple[str, ...]]) -> None:
    for table, column in _TABLES:
        if table == "conversation_leases":
            continue
        for each in spaces:
            write.execute(f"DELETE FROM {table} WHERE {column} = ?", (key_of(each),))  # noqa: S608 - constants


def _delete_loosely(database: Database, table: str, column: str, values: Sequence[str]) -> None:
    """Delete rows of a table that only a server makes."""

    def work(write: Transaction) -> None:
        for each in values:
            write.execute(f"DELETE FROM {table} WHERE {column} = ?", (each,))  # noqa: S608 - constants

    if not values:
        return
    try:
        database.write(work).result()
    except StorageError:
        # There is no such table: no server was ever used with this database.
        return


def _json(namespace: tuple[str, ...]) -> str:
    import json  # noqa: PLC0415 - the one use

    return json.dumps(namespace)
