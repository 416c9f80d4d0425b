"""What services and the agents of other rooms ask of a runtime."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from coterie import Agent, AgentRef, MailboxPolicy, Message, Request, Runtime, on
from coterie.errors import InvalidMessage
from coterie.messaging import LocalTransport, Reason
from coterie.testing import eventually


class Note(Message):
    number: int


class Late(Note):
    pass


class Who(Request[bool]):
    pass


class End(Request[None]):
    """Makes an agent stop its runtime."""


class Reader(Agent):
    def __init__(self) -> None:
        self.read: list[int] = []

    @on
    def note(self, message: Note) -> None:
        self.read.append(message.number)

    @on
    def who(self, message: Who) -> bool:
        return self.context.runtime.current == self.context.self_ref

    @on
    def end(self, message: End) -> None:
        self.context.runtime.stop()


class Guest:
    def __init__(self) -> None:
        self.runtime: Any = None

    def provided(self, runtime: Runtime) -> None:
        self.runtime = runtime


def test_a_service_gets_its_runtime() -> None:
    with Runtime() as runtime:
        assert runtime.provide(Guest()).runtime is runtime
        assert runtime.provide([1]) == [1]  # one that does not care


def test_the_current_agent_is_known_inside_an_agent_and_none_outside() -> None:
    with Runtime() as runtime:
        assert runtime.current is None
        assert runtime.spawn(Reader).ask(Who()).result()


def test_the_handled_types_of_an_agent_can_be_asked_for() -> None:
    wire = LocalTransport()
    with Runtime("a", transport=wire) as one, Runtime("b", transport=wire) as two:
        reader = one.spawn(Reader)
        assert reader.handles(Note)
        assert reader.handles(Late)
        assert not reader.handles(Message)
        assert two.reference(str(reader.address)).handles(Message)  # not known there


def test_a_post_never_blocks_and_keeps_its_order_while_it_waits_for_room() -> None:
    with Runtime() as runtime:
        reader = runtime.spawn(Reader, mailbox=MailboxPolicy(capacity=2, overflow="wait", timeout=30))
        runtime.pause(reader)
        for number in range(50):
            reader.post(Note(number))
        runtime.resume(reader)
        expected = repr(list(range(50)))
        eventually(lambda: (runtime.inspect(reader).attributes or {}).get("read") == expected)
        with pytest.raises(InvalidMessage):
            reader.post("text")  # type: ignore[arg-type] # that is the point
        full = runtime.spawn(Reader, mailbox=MailboxPolicy(capacity=1, overflow="reject"))
        runtime.pause(full)
        for number in range(3):
            full.post(Note(number))
        assert runtime.dead_letters.counts[Reason.FULL] == 2
        runtime.resume(full)


class Closing(Agent):
    """Says that it has stopped, on its own event loop."""

    def __init__(self, stopped: Callable[[], object]) -> None:
        self.stopped = stopped

    @on
    async def who(self, message: Who) -> bool:
        return True

    async def on_stop(self) -> None:
        await asyncio.sleep(0)
        self.stopped()


def _made_and_forgotten(stopped: Callable[[], object]) -> None:
    runtime = Runtime()
    assert runtime.spawn(Closing, stopped).ask(Who()).result(10)


def test_runtimes_that_no_code_refers_to_are_stopped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    stopped: list[int] = []
    gc.collect()
    before = threading.active_count()
    gc.disable()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(25):
                # An idle runtime is garbage, once its threads have come to rest. Without a further word, every tenth
                # runtime that is made looks for garbage.
                _made_and_forgotten(lambda: stopped.append(1))
            eventually(lambda: bool(stopped), what="the first of them ended")

            def all_have_ended() -> bool:
                gc.collect()
                return len(stopped) == 25 and threading.active_count() <= before

            eventually(all_have_ended)
    finally:
        gc.enable()
    assert len([each for each in caught if "no code refers to <Runtime" in str(each.message)]) == 25
    assert "no code refers to <Runtime" in caplog.text


def test_a_runtime_lives_as_long_as_a_reference_to_one_of_its_agents() -> None:
    def made() -> AgentRef:
        return Runtime().spawn(Reader)

    reader = made()
    for _ in range(3):
        gc.collect()
        assert reader.ask(Who()).result(10)
    reader.ask(End()).result(10)
    eventually(lambda: not reader.is_alive)
