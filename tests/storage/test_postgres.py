"""What is particular to a server: it goes away in the middle, and comes back."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from coterie.concurrency import start_thread
from coterie.errors import StorageUnavailable
from coterie.storage.engine import ConnectionLost
from coterie.storage.postgres import PostgresDatabase
from coterie.storage.postgres.connection import PostgresConnection
from coterie.storage.postgres.store import PostgresStore
from coterie.testing import ManualClock, Together, eventually
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.storage import NOTES, insert, numbers
from tests.servers import Postgres


@pytest.fixture
def database(postgres_url: str) -> Iterator[PostgresDatabase]:
    with PostgresDatabase(postgres_url) as database:
        database.migrate(NOTES)
        yield database


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_a_write_waits_for_a_server_that_is_away_and_is_then_stored(
    database: PostgresDatabase, postgres_server: Postgres, end: Callable[[Postgres], None]
) -> None:
    assert database.write(insert(1)).result(10) == 1
    end(postgres_server)
    pending = [database.write(insert(number)) for number in range(2, 5)]
    assert not pending[0].wait(0.2)
    postgres_server.start()
    assert [each.result(20) for each in pending] == [2, 3, 4]
    assert numbers(database) == [1, 2, 3, 4]
    assert database.statistics().reconnects == 1


def test_a_work_that_was_interrupted_is_done_again_and_stored_once(
    database: PostgresDatabase, postgres_server: Postgres
) -> None:
    gate, times = Gate(), [0]

    def work(write: Any) -> int:
        times[0] += 1
        write.execute("INSERT INTO notes VALUES (1, 'x')")
        if times[0] == 1:
            gate.wait()
        return int(write.execute("INSERT INTO notes VALUES (2, 'x')"))

    before = database.write(insert(0))
    pending = database.write(work)
    gate.wait_for_entry()
    postgres_server.restart()
    gate.open()
    assert pending.result(20) == 1
    assert before.result(0) == 0
    assert times == [2]
    assert numbers(database) == [0, 1, 2]


@pytest.mark.parametrize("reached", [True, False])
def test_a_commit_that_is_not_answered_counts_if_the_server_did_it(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    commit = PostgresConnection.commit
    calls = []

    def commit_in_silence(self: PostgresConnection) -> None:
        calls.append(1)
        if len(calls) > 1:
            commit(self)
            return
        if reached:
            commit(self)
        self.close()
        raise ConnectionLost("here", "the answer did not arrive")

    monkeypatch.setattr(PostgresConnection, "commit", commit_in_silence)
    runs: list[int] = []
    pending = database.write(lambda write: (runs.append(1), write.execute("INSERT INTO notes VALUES (1, 'x')")))
    assert pending.result(20)[1] == 1
    assert numbers(database) == [1]
    assert len(runs) == (1 if reached else 2)


def test_a_write_fails_clearly_when_patience_ends_and_later_ones_go_on(postgres_url: str, postgres_server: Postgres) -> None:
    clock = ManualClock()
    with PostgresDatabase(postgres_url, clock=clock, patience=10.0) as database:
        database.migrate(NOTES)
        postgres_server.stop()
        pending = database.write(insert(1))
        advancing = Together(lambda: _advance_until(clock, pending.wait))
        with pytest.raises(StorageUnavailable, match=r"cannot be reached: .*10 s of trying") as caught:
            pending.result(20)
        advancing.join()
        assert not caught.value.doubtful
        assert 10.0 <= clock.monotonic() <= 13.0
        postgres_server.start()
        assert database.write(insert(2)).result(20) == 2
        assert numbers(database) == [2]


def _advance_until(clock: ManualClock, done: Callable[[float], bool]) -> None:
    while not done(0.005):
        clock.advance(0.5)


def test_a_commit_with_an_unknown_outcome_raises_an_error_of_its_own(
    postgres_url: str, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(self: PostgresConnection) -> None:
        postgres_server.kill()
        self.close()
        raise ConnectionLost("here", "the answer did not arrive")

    with PostgresDatabase(postgres_url, patience=0.3) as database:
        database.migrate(NOTES)
        with monkeypatch.context() as patch:
            patch.setattr(PostgresConnection, "commit", lose)
            with pytest.raises(StorageUnavailable, match="it is unknown whether the write was stored") as caught:
                database.write(insert(1)).result(20)
        assert caught.value.doubtful
        postgres_server.start()
        assert database.write(insert(2)).result(20) == 2


def test_reads_fail_at_once_while_the_server_is_away_and_work_again_when_it_is_back(
    database: PostgresDatabase, postgres_server: Postgres
) -> None:
    assert numbers(database) == []
    postgres_server.stop()
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            database.row("SELECT 1")
    postgres_server.start()
    assert database.row("SELECT 1") == (1,)
    postgres_server.restart()
    assert database.read(lambda view: view.row("SELECT 2")) == (2,)
    assert database.statistics().readers == 1


def test_closing_does_not_wait_for_a_lost_server_for_ever(postgres_url: str, postgres_server: Postgres) -> None:
    database = PostgresDatabase(postgres_url)
    database.migrate(NOTES)
    postgres_server.stop()
    pending = database.write(insert(1))
    database.close(0.2)
    with pytest.raises(StorageUnavailable):
        pending.result(0)


def test_nothing_acknowledged_is_lost_while_the_server_is_killed_again_and_again(
    database: PostgresDatabase, postgres_server: Postgres
) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    def write(base: int) -> None:
        number = base
        while not stop.is_set():
            acknowledged.append(database.write(insert(number), durable=number % 2 == 0).result(30))
            number += 1

    writers = Together(*(partial(write, base) for base in (0, 1_000_000, 2_000_000)))
    for end in (postgres_server.kill, postgres_server.stop, postgres_server.kill):
        count = len(acknowledged)
        eventually(partial(_has_grown, acknowledged, count), timeout=20)
        end()
        postgres_server.start()
    stop.set()
    writers.join()
    assert sorted(acknowledged) == numbers(database)


def _has_grown(numbers: list[int], count: int) -> bool:
    return len(numbers) > count + 20


def test_a_transaction_that_the_server_has_not_given_up_is_waited_for(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = PostgresConnection.commit, []

    def commit_late(self: PostgresConnection) -> None:
        calls.append(1)
        if len(calls) > 1:
            commit(self)
            return
        # The client has lost its connection, and the server goes on with what it was told last.
        start_thread(lambda: (threading.Event().wait(0.3), commit(self), self.close()), "the server")
        raise ConnectionLost("here", "the answer did not arrive")

    monkeypatch.setattr(PostgresConnection, "commit", commit_late)
    monkeypatch.setattr(PostgresStore, "_drop", lambda self: setattr(self, "_connection", None))
    assert database.write(insert(1)).result(20) == 1
    assert numbers(database) == [1]
    assert len(calls) == 1


def test_two_processes_may_write_at_once(postgres_url: str) -> None:
    with PostgresDatabase(postgres_url) as one, PostgresDatabase(postgres_url) as two:
        one.migrate(NOTES)
        thread = start_thread(lambda: [one.write(insert(number)).result(10) for number in range(50)], "one")
        for number in range(50, 100):
            two.write(insert(number)).result(10)
        thread.join(10)
        assert numbers(one) == list(range(100))


@pytest.mark.parametrize("what", ["password", "database", "port"])
def test_a_server_that_does_not_let_us_in_is_named_without_the_password(
    postgres_url: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts = urlsplit(postgres_url)
    wrong = {
        "password": parts._replace(netloc=parts.netloc.replace("s3cret", "an0ther")),
        "database": parts._replace(path="/nowhere"),
        "port": parts._replace(netloc=parts.netloc.replace(str(parts.port), "1")),
    }[what]
    with caplog.at_level(logging.DEBUG), pytest.raises(StorageUnavailable, match="cannot be reached") as caught:
        PostgresDatabase(urlunsplit(wrong))
    for secret in ("s3cret", "an0ther"):
        assert secret not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


def test_no_text_shows_a_password(database: PostgresDatabase) -> None:
    assert "s3cret" not in repr(database) + database.name + repr(database.write(insert(1)))
