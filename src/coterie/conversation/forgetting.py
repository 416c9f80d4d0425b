"""Forget a user wholly: conversations, operations, memories, and recordings of models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import msgspec

from coterie.conversation.journal import Journal, key_of, parts_of
from coterie.conversation.memories import UserMemories
from coterie.conversation.operations.ledger import as_ascii
from coterie.errors import InvalidSetting
from coterie.errors.storage import StatementFailed
from coterie.kernel import SystemClock
from coterie.memory import TieredMemory, forget_person
from coterie.models.recording.file import remove_agents
from coterie.storage import Database, Transaction

_KINDS = ("chat", "agui", "completions", "mcp", "a2a", "agent")
"""First parts of namespaces in which the second part, or the third of an agent, is the user."""
_NOBODY = "-"
"""The user in a namespace of a server for a request that names none."""
_TABLES = (
    ("conversation_log", "namespace"),
    ("conversation_notes", "namespace"),
    ("conversation_summaries", "namespace"),
    ("conversation_operations", "namespace"),
    ("conversation_requests", "namespace"),
    ("conversation_answers", "namespace"),
    ("conversation_sessions", "namespace"),
)


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
    not covered. Safe to repeat. Raises `InvalidSetting` without a user, and errors of storage, of memory and of recordings.
    """
    journal = Journal(database, SystemClock())
    spaces = namespaces_of(journal, user)
    # The rows that name the conversations go last, so that after a failure a repetition finds the rest.
    names = {"/".join(each) for each in spaces}
    removed = sum(remove_agents(Path(each), names) for each in recordings)
    memories = 0 if memory is None else forget_person(memory, owner=UserMemories.owner(user)).memories
    _delete_of_servers(database, user, spaces)
    if spaces:
        database.write(lambda write: _delete(write, spaces)).result()
    database.compact()
    return ForgetReport(conversations=tuple(spaces), memories=memories, recordings=removed)


def forget_conversation(database: Database, namespace: tuple[str, ...]) -> ForgetReport:
    """Delete a conversation that is not at work, and those that it has opened with other assistants; return a report.

    Memories of its user stay. Otherwise as `forget_user`.
    """
    known = map(parts_of, Journal(database, SystemClock()).namespaces())
    spaces = sorted(each for each in known if each[: len(namespace)] == namespace)
    _delete_of_servers(database, "", spaces)
    if spaces:
        database.write(lambda write: _delete(write, spaces)).result()
    database.compact()
    return ForgetReport(conversations=tuple(spaces))


def namespaces_of(journal: Journal, user: str) -> list[tuple[str, ...]]:
    """Return the namespaces of all conversations of a user, and of those that they have opened with other assistants.

    Raises `InvalidSetting` without a user.
    """
    if not (user and isinstance(user, str)):
        raise InvalidSetting("user", user, "the name of a user; a conversation without a user is forgotten by no name")
    stored = as_ascii(user)
    known = {parts_of(each) for each in journal.namespaces()}
    own = {each for each in known if journal.person(key_of(each)) == stored or _names(each, user)}
    return sorted(own | {each for each in known if any(each[: len(root)] == root for root in own)})


def _names(namespace: tuple[str, ...], user: str) -> bool:
    """Return whether a namespace of a known kind names the user, for conversations of earlier versions."""
    if user == _NOBODY or namespace[0] not in _KINDS:
        return False
    place = 2 if namespace[0] == "agent" else 1
    return len(namespace) > place and namespace[place] == user


def _delete(write: Transaction, spaces: Sequence[tuple[str, ...]]) -> None:
    for table, column in _TABLES:
        for each in spaces:
            write.execute(f"DELETE FROM {table} WHERE {column} = ?", (key_of(each),))  # noqa: S608 - constants


def _delete_of_servers(database: Database, user: str, spaces: Sequence[tuple[str, ...]]) -> None:
    """Delete the rows in tables that only servers, and hosts over PostgreSQL, create."""
    keys = [key_of(each) for each in spaces]
    threads = [json.dumps(each) for each in spaces]
    found_by_history = [each[-1] for each in spaces if each[0] == "completions" and each[-1].startswith("unnamed ")]
    of_log = "DELETE FROM serving_requests WHERE message IN (SELECT said FROM conversation_log WHERE namespace = ?)"
    for statement, values in (
        (of_log, keys),
        ("DELETE FROM serving_told WHERE thread = ?", threads),
        ("DELETE FROM serving_histories WHERE thread = ?", found_by_history),
        ("DELETE FROM conversation_leases WHERE holder = ?", keys),
        ("DELETE FROM a2a_tasks WHERE owner = ?", [user]),
        ("DELETE FROM a2a_push WHERE owner = ?", [user]),
    ):
        if values:
            _delete_if_present(database, statement, values)


def _delete_if_present(database: Database, statement: str, values: Sequence[str]) -> None:
    def work(write: Transaction) -> None:
        for each in values:
            write.execute(statement, (each,))

    try:
        database.write(work).result()
    except StatementFailed:
        # There is no such table: no server was ever used with this database.
        return
