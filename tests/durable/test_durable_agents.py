"""Faults of the store under durable agents, and races of activation and passivation."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coterie import Agent, AgentRef, AgentStopped, HandlerFailed, Message, Request, Runtime, Supervision, on
from coterie.durable import DurableChange, DurableStore, Identity
from coterie.durable.schema import SCHEMA
from coterie.errors import InvalidSetting, MigrationError, StorageFull
from coterie.errors.durable import ChangeLost
from coterie.runtime import DurablePolicy
from coterie.storage import Schema, SqliteDatabase
from coterie.testing.conformance.durable_agents import Add, Bump, Count, Counter, Deposit, Forward, Ledger
from coterie.testing.waiting import eventually


class Odd(Message):
    """A message, or an event, with a part of any type."""

    part: Any = None


class TellOdd(Request[int]):
    """Change the count, and tell another agent something that cannot be encoded."""

    to: AgentRef


class Teller(Counter):
    stored_name = "teller"

    @on
    def tell_odd(self, message: TellOdd) -> int:
        self.count += 1
        message.to.tell(Odd(threading.Lock()))
        return self.count


class RecordOdd(Request[int]):
    """Record an event with that part."""

    how: str


class Recorder(Agent):
    stored_name = "recorder"

    def __init__(self) -> None:
        self.count = 0

    def apply(self, event: Odd) -> None:
        self.count += 1

    @on
    def record(self, message: RecordOdd) -> int:
        parts = {"set": {1, 2}, "message": Count(), "tuple": (1,), "nan": float("nan"), "list": [1, {"a": None}]}
        self.context.record(Odd(parts[message.how]))
        return self.count


class FailingDatabase:
    """A database whose writes fail while `full` is set."""

    def __init__(self, inner: SqliteDatabase) -> None:
        self.inner = inner
        self.full = False
        self.waiting = False
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, work: Callable[[Any], Any], **options: Any) -> Any:
        def waits(transaction: Any) -> Any:
            self.waiting = not self.gate.is_set()
            self.gate.wait(10)
            return work(transaction)

        def fails(transaction: Any) -> Any:
            work(transaction)
            raise StorageFull(self.inner.name, "no space left on device")

        return self.inner.write(fails if self.full else waits, **options)


@pytest.fixture
def database(tmp_path: Path) -> Any:
    with SqliteDatabase(tmp_path / "agents.db") as inner:
        yield FailingDatabase(inner)


@pytest.mark.parametrize("kind", ["state", "events"])
def test_a_change_that_cannot_be_stored_is_undone(database: Any, kind: str) -> None:
    with Runtime(store=database) as runtime:
        agent = runtime.entity(Counter if kind == "state" else Ledger, "a")
        request = Add(5) if kind == "state" else Deposit(5)
        assert agent.ask(request).result() == 5
        database.full = True
        for _ in range(2):
            with pytest.raises(HandlerFailed, match="no space left") as caught:
                agent.ask(request).result()
            assert isinstance(caught.value.__cause__, ChangeLost)
            assert agent.ask(Count()).result() == 5
        database.full = False
        assert agent.ask(request).result() == 10


def test_an_ask_ends_whose_agent_is_stopped_while_its_change_is_stored(database: Any) -> None:
    with Runtime(store=database) as runtime:
        agent = runtime.entity(Counter, "a")
        agent.ask(Add()).result()
        database.gate.clear()
        reply = agent.ask(Add(), timeout=None)
        eventually(lambda: database.waiting)
        ended = runtime.durable.entity(Counter, "a").stop(drain=False)
        ended.result(10)
        database.gate.set()
        assert reply.result(10) == 2
        assert agent.ask(Count()).result() == 2


def test_a_message_is_kept_while_its_recipient_cannot_be_stored(database: Any) -> None:
    with Runtime(store=database) as runtime:
        runtime.entity(Counter, "a").ask(Forward("b", 3)).result()
        eventually(lambda: runtime.entity(Counter, "b").ask(Count()).result() == 3)
        assert database.row("SELECT count(*) FROM durable_messages") == (0,)


def test_an_activation_that_was_overtaken_reads_its_state_again(database: Any) -> None:
    with Runtime(store=database) as runtime:
        agent = runtime.entity(Counter, "a")
        assert agent.ask(Add()).result() == 1
        # As another process would that believes to be the only one.
        stored = runtime.durable.store.load(Identity("suite-counter", "a"))
        change = DurableChange(Identity("suite-counter", "a"), stored.commits, state=b"\x81\xa5count\x64")
        runtime.durable.store.commit(change).result()
        with pytest.raises(HandlerFailed, match="another activation"):
            agent.ask(Add()).result()
        assert agent.ask(Add()).result() == 101


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    script = f"from coterie import Runtime\nwith Runtime(store={str(path)!r}) as runtime: pass"
    with Runtime(store=str(path)) as runtime:
        runtime.entity(Counter, "a").ask(Add()).result()
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603 - our own
        assert ended.returncode == 1
        assert "StorageLocked" in ended.stderr


def test_a_file_of_a_later_version_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with SqliteDatabase(path) as later:
        DurableStore(later)
        later.migrate(Schema("durable", (*SCHEMA.steps, "CREATE TABLE later (id TEXT)")))
    with pytest.raises(MigrationError, match="later version"):
        Runtime(store=str(path))


def test_a_message_that_comes_while_the_agent_is_passivated_is_handled(database: Any) -> None:
    with Runtime(store=database) as runtime:
        agent = runtime.entity(Counter, "a")
        for number in range(1, 60):
            ended = agent.stop()
            agent.tell(Bump(1))
            assert agent.ask(Count()).result() == number
            ended.result()


def test_a_message_that_cannot_leave_undoes_the_change_before_it_is_stored(tmp_path: Path) -> None:
    with Runtime(store=str(tmp_path / "agents.db"), strict=True) as runtime:
        agent, other = runtime.entity(Teller, "a"), runtime.spawn(Agent)
        with pytest.raises(HandlerFailed, match="EncodeFailed"):
            agent.ask(TellOdd(other)).result()
        assert agent.ask(Count()).result() == 0


@pytest.mark.parametrize(("how", "stored"), [("set", 0), ("message", 0), ("tuple", 0), ("nan", 1), ("list", 1)])
def test_an_event_is_refused_that_would_be_read_back_as_another(database: Any, how: str, stored: int) -> None:
    with Runtime(store=database) as runtime:
        reply = runtime.entity(Recorder, "a").ask(RecordOdd(how))
        assert reply.wait(10)
        assert ("would be read back" in str(reply.exception())) is (not stored)
        assert len(list(runtime.history(Recorder, "a"))) == stored


def test_wrong_settings_are_refused_where_they_are_given(tmp_path: Path) -> None:
    store = str(tmp_path / "agents.db")
    wrong: list[dict[str, Any]] = [{"store": 5}, {"store": store, "durable": 5}, {"durable": DurablePolicy()}]
    for settings in wrong:
        with pytest.raises(InvalidSetting, match=r"Runtime\.(store|durable)"):
            Runtime(**settings)


def test_a_state_that_cannot_be_read_for_now_says_so(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "agents.db") as inner:
        database: Any = FailingDatabase(inner)
        with Runtime(store=database, supervision=Supervision(max_restarts=0)) as runtime:
            agent = runtime.entity(Counter, "a")
            database.row = unreadable
            with pytest.raises(AgentStopped, match="failed for good: StorageFull"):
                agent.ask(Count()).result()
            del database.row
            assert agent.ask(Add()).result() == 1


def unreadable(*_: object) -> None:
    raise StorageFull("agents.db", "no space left for a read")


def test_a_long_history_is_read_in_pages(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "agents.db") as database:
        store = DurableStore(database)
        store.commit(DurableChange(Identity("kind", "a"), 0, events=[("", b"1")] * 2_500)).result()
        assert [event.number for event in store.events(Identity("kind", "a"))] == list(range(1, 2_501))
        assert [event.number for event in store.events(Identity("kind", "a"), after=998, before=2_003)] == list(
            range(999, 2_003)
        )
        assert len(store.load(Identity("kind", "a")).later) == 2_500


class Fold(Agent):
    """An event-sourced agent without snapshots."""

    stored_name = "fold"

    def __init__(self) -> None:
        self.count = 0

    def apply(self, event: Odd) -> None:
        self.count += 1

    @on
    def record(self, message: Add) -> int:
        for _ in range(message.amount):
            self.context.record(Odd())
        return self.count


class Snapshots(Fold):
    """The same, with snapshots."""

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


def test_a_class_whose_activations_fold_many_events_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = DurablePolicy(snapshot_every=5)
    with Runtime(store=tmp_path / "agents.db", durable=policy) as runtime:
        assert runtime.entity(Fold, "a").ask(Add(60)).result() == 60
        for _ in range(2):
            runtime.entity(Fold, "a").stop().result()
            assert runtime.entity(Fold, "a").ask(Add(0)).result() == 60
    assert [each for each in caplog.messages if "folded 60 events" in each and "`snapshot` and `restore`" in each] == [
        each for each in caplog.messages if "folded" in each
    ]
    assert sum("folded" in each for each in caplog.messages) == 1
    caplog.clear()
    # The class gets snapshots later: the first is stored with the next event, and an activation reads few events from then on.
    with Runtime(store=tmp_path / "agents.db", durable=policy) as runtime:
        assert runtime.entity(Snapshots, "a").ask(Add(1)).result() == 61
        assert runtime.durable.store.load(Identity("fold", "a")).later == ()
        assert runtime.entity(Snapshots, "a").ask(Add(3)).result() == 64
        runtime.entity(Snapshots, "a").stop().result()
        assert len(runtime.durable.store.load(Identity("fold", "a")).later) == 3
        assert runtime.entity(Snapshots, "a").ask(Add(0)).result() == 64
        assert len(list(runtime.history(Snapshots, "a"))) == 64
    assert not any("folded" in each for each in caplog.messages)


class Grow(Request[int]):
    """Let the state, or an event, have so many bytes."""

    size: int
    as_event: bool = False


class Large(Agent):
    stored_name = "large"

    def __init__(self) -> None:
        self.text = ""

    def apply(self, event: Odd) -> None:
        self.text = event.part

    @on
    def grow(self, message: Grow) -> int:
        self.context.record(Odd("x" * message.size))
        return len(self.text)


class LargeState(Agent):
    stored_name = "large-state"

    def __init__(self) -> None:
        self.text = ""

    def snapshot(self) -> str:
        return self.text

    def restore(self, state: str) -> None:
        self.text = state

    @on
    def grow(self, message: Grow) -> int:
        if message.size:
            self.text = "x" * message.size
        return len(self.text)


@pytest.mark.parametrize("kind", [Large, LargeState])
def test_a_state_or_an_event_that_is_too_large_is_refused(tmp_path: Path, kind: type[Agent]) -> None:
    with Runtime(store=tmp_path / "agents.db") as runtime:
        agent = runtime.entity(kind, "a")
        assert agent.ask(Grow(100)).result() == 100
        with pytest.raises(HandlerFailed, match=r"'a': (its state|the event Odd) cannot be stored: it has 50,000,0\d\d bytes"):
            agent.ask(Grow(50_000_000)).result()
        assert agent.ask(Grow(200)).result() == 200
