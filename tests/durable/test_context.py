"""The context of stored messages: the trace, and chosen context variables, also after a restart."""

import sqlite3
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from coterie import Agent, AgentRef, Dedicated, HandlerFailed, Leased, Message, Request, Runtime, on
from coterie.runtime import Dispatcher
from coterie.telemetry import current_traceparent, traceparent
from coterie.testing import ManualClock, eventually, wait_until_idle

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
tenant: ContextVar[Any] = ContextVar("tenant", default="nobody")
private: ContextVar[Any] = ContextVar("private", default="nothing")


class Send(Request[None]):
    """Sends a note in a context: to another durable agent, to oneself later, to a topic, or to an ordinary agent."""

    how: str
    value: str = "acme"
    to: AgentRef | None = None


class SendBadly(Request[None]):
    pass


class Note(Message):
    pass


class Seen(Request[list[str]]):
    pass


class Keeper(Agent):
    stored_name = "context-keeper"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def snapshot(self) -> list[str]:
        return self.seen

    def restore(self, state: list[str]) -> None:
        self.seen = state

    @on
    def send(self, message: Send) -> None:
        tenant.set(message.value)
        private.set("secret")
        traceparent.set(PARENT)
        if message.how == "remind":
            self.context.remind(60.0, Note())
        elif message.how == "publish":
            self.context.publish("notes", Note())
        elif message.how == "subscribe":
            self.context.subscribe("notes")
        elif message.how == "ordinary":
            assert message.to is not None
            message.to.tell(Note())
        else:
            self.context.runtime.entity(Keeper, "other").tell(Note())

    @on
    async def send_badly(self, message: SendBadly) -> None:
        tenant.set(object())
        self.context.runtime.entity(Keeper, "other").tell(Note())

    @on
    async def note(self, message: Note) -> None:
        self.seen.append(f"{tenant.get()} {private.get()} {current_traceparent()}")

    @on
    def read(self, message: Seen) -> list[str]:
        return self.seen


class Ordinary(Agent):
    def __init__(self) -> None:
        self.seen: list[str] = []

    @on
    def note(self, message: Note) -> None:
        self.seen.append(f"{tenant.get()} {private.get()} {current_traceparent()}")

    @on
    def read(self, message: Seen) -> list[str]:
        return self.seen


EXPECTED = [f"acme nothing {PARENT}"]
both = pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])


@both
@pytest.mark.parametrize("how", ["tell", "publish"])
def test_a_stored_message_keeps_the_trace_and_the_chosen_variables(tmp_path: Path, dispatcher: Dispatcher, how: str) -> None:
    with Runtime(store=tmp_path / "agents.db", context=[tenant], dispatcher=dispatcher) as runtime:
        other = runtime.entity(Keeper, "other")
        other.ask(Send("subscribe")).result()
        runtime.entity(Keeper, "a").ask(Send(how)).result()
        eventually(lambda: other.ask(Seen()).result() == EXPECTED)


@both
def test_a_reminder_keeps_them_over_a_restart(tmp_path: Path, dispatcher: Dispatcher) -> None:
    clock = ManualClock()
    with Runtime(store=tmp_path / "agents.db", context=[tenant], clock=clock, dispatcher=dispatcher) as runtime:
        runtime.entity(Keeper, "a").ask(Send("remind")).result()
    with Runtime(store=tmp_path / "agents.db", context=[tenant], clock=clock, dispatcher=dispatcher) as runtime:
        agent = runtime.entity(Keeper, "a")
        agent.ask(Seen()).result()
        wait_until_idle(runtime)
        clock.advance(60.0)
        eventually(lambda: agent.ask(Seen(), timeout=None).result() == EXPECTED)


def test_an_ordinary_agent_hears_in_the_context_of_the_handler(tmp_path: Path) -> None:
    with Runtime(store=tmp_path / "agents.db", context=[tenant]) as runtime:
        ordinary = runtime.spawn(Ordinary)
        runtime.entity(Keeper, "a").ask(Send("ordinary", to=ordinary)).result()
        eventually(lambda: ordinary.ask(Seen()).result() == [f"acme secret {PARENT}"])


def test_a_variable_without_a_stored_form_undoes_the_change(tmp_path: Path) -> None:
    with Runtime(store=tmp_path / "agents.db", context=[tenant]) as runtime:
        with pytest.raises(HandlerFailed, match="the context variable 'tenant'"):
            runtime.entity(Keeper, "a").ask(SendBadly()).result()
        assert runtime.entity(Keeper, "other").ask(Seen()).result() == []


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"\x91" * 9_000, b"\x81\xa5trace\x07"], ids=["empty", "text", "deep", "type"]
)
def test_a_stored_context_that_makes_no_sense_is_left_out(tmp_path: Path, body: bytes) -> None:
    clock = ManualClock()
    path = tmp_path / "agents.db"
    with Runtime(store=path, context=[tenant], clock=clock) as runtime:
        runtime.entity(Keeper, "a").ask(Send("remind")).result()
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute("UPDATE durable_messages SET context = ?", (body,)).rowcount == 1
    database.close()
    clock.advance(60.0)
    with Runtime(store=path, context=[tenant], clock=clock) as runtime:
        agent = runtime.entity(Keeper, "a")
        eventually(lambda: agent.ask(Seen()).result() == ["nobody nothing None"])


def test_a_store_from_before_contexts_were_kept_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    clock = ManualClock()
    with Runtime(store=path, clock=clock) as runtime:
        runtime.entity(Keeper, "a").ask(Send("remind")).result()
    with closing(sqlite3.connect(path)) as database, database:
        # As the first version of the schema had it.
        database.execute("ALTER TABLE durable_messages DROP COLUMN context")
        forgotten = database.execute("DELETE FROM coterie_migrations WHERE name = 'durable' AND version > 1")
        assert forgotten.rowcount == 1
    database.close()
    clock.advance(60.0)
    with Runtime(store=path, context=[tenant], clock=clock) as runtime:
        agent = runtime.entity(Keeper, "a")
        eventually(lambda: agent.ask(Seen()).result() == ["nobody nothing None"])
