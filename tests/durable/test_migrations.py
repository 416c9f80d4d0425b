"""Stores that an earlier version of the schema has made are brought to the present one, and keep what they hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coterie import Message, Runtime, on
from coterie.durable.schema import SCHEMA
from coterie.storage import Schema, open_database
from coterie.storage.transaction import Transaction
from coterie.testing.conformance.durable_agents import Add, Count, Counter
from coterie.testing.waiting import eventually


class Pay(Message):
    amount: int


class Account(Counter):
    stored_name = "old-account"

    @on
    def pay(self, message: Pay) -> None:
        self.count += message.amount


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path_factory.mktemp("old") / "agents.db")
    else:
        yield request.getfixturevalue("postgres_url")


def fill(transaction: Transaction) -> None:
    """Store an agent, and messages for it, as the first version did."""
    transaction.execute(
        "INSERT INTO durable_agents (kind, key, commits, state, state_version, events, folded, changed_at)"
        " VALUES ('old-account', '42', 3, ?, 1, 0, 0, 0.0)",
        (b"\x81\xa5count\x28",),
    )
    for dead in (0, 1):
        transaction.execute(
            "INSERT INTO durable_messages (kind, key, body, message, priority, due, dead)"
            " VALUES ('old-account', '42', ?, ?, 2, 0.0, ?)",
            (b"\x82\xa5$type\xa3Pay\xa6amount\x02", f"{__name__}:Pay", dead),
        )


def test_a_store_of_the_first_version_keeps_states_and_messages(store: str) -> None:
    with open_database(store) as database:
        database.migrate(Schema("durable", SCHEMA.steps[:1]))
        database.write(fill).result()
    for extra in (0, 1):
        # The second time there is nothing left to do.
        with Runtime(store=store) as runtime:
            account = runtime.entity(Account, "42")
            eventually(lambda: not runtime.durable.undelivered)
            assert account.ask(Count()).result() == 42 + extra
            assert account.ask(Add(1)).result() == 43 + extra
            version = runtime.durable.store.database.row("SELECT max(version) FROM coterie_migrations WHERE name = 'durable'")
            assert version == (SCHEMA.version,)
            (letter,) = runtime.durable.dead_letters()
            assert letter.context is None
    with Runtime(store=store) as runtime:
        assert runtime.durable.redrive(letter.number)
        eventually(lambda: runtime.entity(Account, "42").ask(Count()).result() == 46)
