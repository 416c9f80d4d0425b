"""Context variables: each message has its own context, begun from its sender's."""

from contextvars import ContextVar

import pytest

from coterie import Agent, AgentRef, Dedicated, Leased, Request, Runtime, on
from coterie.runtime import Dispatcher

trace = ContextVar("trace", default="-")


class Read(Request[str]):
    pass


class ReadAsync(Request[str]):
    pass


class Built(Request[str]):
    pass


class Write(Request[str]):
    pass


class WriteAsync(Request[str]):
    pass


class Hop(Request[str]):
    pass


class Reader(Agent):
    def __init__(self, other: AgentRef | None = None) -> None:
        self.other = other
        self.built = trace.get()

    async def on_start(self) -> None:
        self.built += "/" + trace.get()

    @on
    def read(self, message: Read) -> str:
        return trace.get()

    @on
    async def read_async(self, message: ReadAsync) -> str:
        return trace.get()

    @on
    def read_built(self, message: Built) -> str:
        return self.built

    @on
    def write(self, message: Write) -> str:
        before = trace.get()
        trace.set("left by a handler")
        return before

    @on
    async def write_async(self, message: WriteAsync) -> str:
        before = trace.get()
        trace.set("left by a handler")
        return before

    @on
    async def hop(self, message: Hop) -> str:
        assert self.other is not None
        return await self.other.ask(Read())


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_a_handler_begins_in_the_context_of_its_sender(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        token = trace.set("of the spawn")
        other = runtime.spawn(Reader)
        reader = runtime.spawn(Reader, other)
        trace.set("of the ask")
        replies = [reader.ask(kind()).result() for kind in (Read, ReadAsync, Hop, Write, WriteAsync)]
        assert replies == ["of the ask"] * 5
        assert reader.ask(Built()).result() == "of the spawn/of the spawn"
        trace.reset(token)


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@pytest.mark.parametrize("write", [Write, WriteAsync])
def test_a_variable_that_a_handler_sets_ends_with_its_message(dispatcher: Dispatcher, write: type[Request[str]]) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        reader = runtime.spawn(Reader)
        for _ in range(2):
            assert [reader.ask(kind()).result() for kind in (write, Read, ReadAsync, write, Read)] == ["-"] * 5
        token = trace.set("mine")
        assert [reader.ask(kind()).result() for kind in (write, Read, ReadAsync, write, Read)] == ["mine"] * 5
        trace.reset(token)
        assert reader.ask(Read()).result() == "-"
