"""A resource that several processes share excludes in all of them, by leases in their database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import Conversations, Operation, OperationState, tool
from coterie.conversation.operations import leases as lease_module
from coterie.conversation.operations.leases import LeaseTable
from coterie.conversation.operations.operation import Effect
from coterie.conversation.session.leases import OperationLeases
from coterie.errors import StorageLocked
from coterie.storage import Database, open_database
from tests.conversation.scripted import Gate, Script, by_words, run, state_of
from tests.conversation.test_scopes import SETTINGS, Account, an_operation

ALL = ("all",)
WRITE, READ = Effect.WRITE, Effect.READ


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    place = tmp_path / "leases.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with open_database(place) as opened:
        yield opened


def test_leases_share_between_reads_exclude_writes_and_keep_the_order_of_the_requests(database: Database) -> None:
    table = LeaseTable(database)

    def acquire(holder: str, operation: Operation) -> bool:
        return table.acquire(holder, ALL, operation).result()

    write, read, both = an_operation(1, "a"), an_operation(2, "a", effect=READ), an_operation(3, "b", "a")
    assert acquire("x", read)
    assert acquire("y", read)
    assert not acquire("z", write)
    # The write came first, and keeps its place.
    assert not acquire("zz", read)
    assert acquire("zz", an_operation(4, "b"))
    assert not acquire("zz", both)
    table.release("x", 2).result()
    assert not acquire("z", write)
    table.release("y", 2).result()
    assert acquire("z", write)
    assert acquire("z", write)
    table.release("zz", 4).result()
    assert not acquire("zz", read)
    table.release("z", 1).result()
    assert acquire("zz", read)
    assert table.acquire("x", ("user", "bob"), write).result()
    assert not acquire("x", an_operation(5, "*"))
    assert table.renew("zz", [1, 2]).result() == {2}


def test_a_lease_that_is_not_renewed_expires(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE", 0.05)
    table, write = LeaseTable(database), an_operation(1, "a")
    assert table.acquire("x", ALL, write).result()
    while not table.acquire("y", ALL, write).result():
        time.sleep(0.01)
    assert table.renew("x", [1]).result() == set()


@pytest.mark.parametrize("end", ["released", "lost"])
def test_an_operation_starts_with_its_lease_and_is_told_when_it_is_lost(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coterie.conversation.session.leases._LOOK", 0.01)
    monkeypatch.setattr("coterie.conversation.session.leases.LEASE", 3.0)
    monkeypatch.setattr("coterie.conversation.session.leases._MARGIN", 0.0)

    async def work() -> None:
        with open_database(tmp_path / "leases.db") as database:
            table, one = LeaseTable(database), an_operation(1, "a")
            lost, tasks, granted = asyncio.Event(), [], asyncio.Event()

            def spawn(work: Any, *arguments: Any) -> None:
                tasks.append(asyncio.ensure_future(work(*arguments)))

            made = OperationLeases(table, "x", "bob", spawn, granted.set, lambda _: lost.set())
            reach = ("user", "bob")
            assert await table.acquire("y", reach, one)
            assert made.admit([], [one]) == []
            await asyncio.sleep(0.03)
            assert not granted.is_set()
            await table.release("y", 1)
            await granted.wait()
            made.keep([one])
            assert made.admit([], [one]) == [one]
            assert made.admit([], [an_operation(2, "a", scope="conversation")]) != []
            if end == "lost":
                await table.release("x", 1)
                await lost.wait()
                assert made.admit([], [one]) == []
            else:
                made.keep([])
                assert await table.acquire("y", reach, one)
                made.close()
            for each in tasks:
                each.cancel()

    run(work)


PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from coterie.conversation import Conversations, ConversationSettings, tool
from tests.conversation.scripted import Script, by_words

store, balance, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

@tool(resources=["account 42"])
async def withdraw() -> str:
    before = int(balance.read_text())
    await asyncio.sleep(0.05)
    balance.write_text(str(before - 10))
    return "done"

async def main():
    settings = ConversationSettings(patience=30.0, grace=0.0)
    async with Conversations(Script(by_words), [withdraw], store=store, settings=settings) as host:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        chat = host.open(name, user="bob")
        for _ in range(2):
            await chat.send("!withdraw").answer()
        await chat.settle()
        print([str(each.state) for each in chat.operations()], flush=True)

asyncio.run(main())
"""


def start(store: str, balance: Path, name: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, store, str(balance), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def test_two_processes_over_one_postgres_do_not_write_one_resource_at_once(postgres_url: str, tmp_path: Path) -> None:
    balance = tmp_path / "balance"
    balance.write_text("100")
    with start(postgres_url, balance, "tab 1") as one, start(postgres_url, balance, "tab 2") as two:
        try:
            assert [child.stdout and child.stdout.readline() for child in (one, two)] == ["ready\n"] * 2
            for child in (one, two):
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            ends = [child.communicate(timeout=40)[0] for child in (one, two)]
        finally:
            one.kill()
            two.kill()
    assert ends == ["['succeeded', 'succeeded']\n"] * 2
    assert balance.read_text() == "60"


def test_a_second_process_cannot_open_a_store_of_sqlite(tmp_path: Path) -> None:
    store, balance = tmp_path / "chats.db", tmp_path / "balance"
    with start(str(store), balance, "tab") as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            with pytest.raises(StorageLocked, match=str(child.pid)):
                Conversations(Script(by_words), [], store=store)
        finally:
            child.kill()


def test_conversations_over_postgres_wait_for_each_other_and_a_cancelled_one_does_not_hold_others(postgres_url: str) -> None:
    account = Account()
    gate = Gate()

    @tool(resources=["account 42"], effect="read")
    async def balance() -> str:
        await gate
        return "90"

    async def work() -> None:
        async with (
            Conversations(Script(by_words), [account.tool, balance], store=postgres_url, settings=SETTINGS) as here,
            Conversations(Script(by_words), [account.tool, balance], store=postgres_url, settings=SETTINGS) as there,
        ):
            one, two, three = here.open("tab 1", user="bob"), there.open("tab 2", user="bob"), there.open("tab 3", user="bob")
            await one.send("!withdraw").answer()
            await account.began
            await two.send("!withdraw").answer()
            await three.send("!balance").answer()
            assert state_of(two, 1) is OperationState.QUEUED
            await two.cancel(1)
            account.gate.set()
            gate.set()
            await asyncio.gather(one.settle(), two.settle(), three.settle())
            assert [state_of(each, 1) for each in (one, three)] == [OperationState.SUCCEEDED] * 2

    run(work, 30)
    assert account.runs == 1
