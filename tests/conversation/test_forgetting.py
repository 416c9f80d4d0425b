"""Nothing of a forgotten user is left in any table, nor in the bytes of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import Conversations, forget_user
from coterie.conversation.entries import SummaryEntry
from coterie.conversation.journal import Journal, LogRecord, key_of
from coterie.conversation.operations.leases import LeaseTable
from coterie.errors import InvalidSetting
from coterie.errors.models import RecordingDamaged
from coterie.kernel import SystemClock
from coterie.models import ModelGateway
from coterie.storage import Database, open_database
from coterie.storage.dialect import Dialect
from tests.conversation.scripted import Script, by_words, run
from tests.conversation.test_scopes import an_operation


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    place = tmp_path / "chats.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with open_database(place) as opened:
        yield opened


def everything(database: Database) -> str:
    """Return all rows of all tables, as text."""
    tables = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if database.dialect is Dialect.SQLITE
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    return "\n".join(
        repr([bytes(each) if isinstance(each, memoryview) else each for each in row])
        for (table,) in database.rows(tables)
        for row in database.rows(f"SELECT * FROM {table}")  # noqa: S608 - names of the database's own tables
    )


def test_no_table_has_a_row_of_a_forgotten_user(database: Database) -> None:
    async def main() -> None:
        async with Conversations(Script(by_words), store=database) as host:
            for user in ("ann", "ben"):
                await host.open(("desk", f"{user}-chat"), user=user).send(f"the secret of {user}").answer()

    run(main)
    journal = Journal(database, SystemClock())
    leases = LeaseTable(database)
    for user in ("ann", "ben"):
        key = key_of(("desk", f"{user}-chat"))
        epoch = journal.open(key, 10, person=user).epoch
        summary = SummaryEntry(text=f"summary of {user}", first=1, until=2)
        journal.write(key, epoch, [LogRecord(900, 0.0, summary)]).result()
        journal.note(key, epoch, "n", f"note of {user}").result()
        assert leases.acquire(key, ("user", user), an_operation(1, f"account of {user}")).result()
    before = everything(database)
    assert before.count("ann") > 4
    assert forget_user(database, "ann").conversations == (("desk", "ann-chat"),)
    after = everything(database)
    assert "ann" not in after
    assert "ann" not in repr(forget_user(database, "ann"))
    assert before.count("ben") == after.count("ben")


@pytest.mark.parametrize("user", ["Jürgen 😀", "a\\b", "o'neill/x"])
def test_a_user_of_any_name_is_forgotten_and_open_conversations_are_closed(tmp_path: Path, user: str) -> None:
    async def main() -> None:
        async with Conversations(Script(by_words), store=tmp_path / "chats.db") as host:
            await host.open(("desk", "one"), user=user).send("my secret").answer()
            # What a conversation has opened belongs to its user, and so does one of a server, by its name.
            inner = host.open(("desk", "one", "helper"))
            served = host.open(("agui", user, "t"))
            for each in (inner, served):
                await each.send("my secret").answer()
            other = host.open(("desk", "two"))
            await other.send("no secret").answer()
            assert len((await host.forget(user)).conversations) == 3
            assert (inner.closed, served.closed, other.closed) == (True, True, False)
            assert host.namespaces() == (("desk", "two"),)

    run(main)
    assert not [each for each in tmp_path.glob("chats.db*") if b"my secret" in each.read_bytes()]


@pytest.mark.parametrize("user", ["", None, 7])
def test_without_a_user_nothing_is_forgotten(tmp_path: Path, user: Any) -> None:
    async def main() -> None:
        async with Conversations(Script(by_words), store=tmp_path / "chats.db") as host:
            await host.open("one").send("hello").answer()
            with pytest.raises(InvalidSetting, match="the name of a user"):
                await host.forget(user)
            assert host.namespaces() == (("one",),)

    run(main)


def test_after_a_failure_a_repetition_finds_the_rest(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"

    async def main() -> None:
        with ModelGateway(Script(by_words), record=recording) as model:
            async with Conversations(model, store=tmp_path / "chats.db") as host:
                await host.open("one", user="ann").send("my secret").answer()
                with pytest.raises(RecordingDamaged, match="directory"):
                    await host.forget("ann", recordings=[recording, tmp_path])
                report = await host.forget("ann", recordings=[recording])
                assert (report.conversations, report.recordings) == ((("one",),), 0)
        assert b"secret" not in recording.read_bytes()

    run(main)
