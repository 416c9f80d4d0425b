"""Agents for the suite of streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from coterie import Agent, AgentRef, Message, ReplyStream, Request, Stream, on
from coterie.testing.conformance.base import Echo, Notes, Recorder, Refused


class Count(Stream[int]):
    """Asks for the numbers from 0; endless without an end."""

    end: int = -1


class PlainCount(Stream[int]):
    """As `Count`, of a plain generator."""

    end: int = -1


class Held(Stream[int]):
    """Asks for two numbers, and then for one that never comes."""


class Pieces(Stream[Any]):
    """Asks for values of several types."""


class Piece(Message):
    """An item that is a message itself."""

    text: str
    by: AgentRef


class Broken(Stream[int]):
    """Asks for two numbers and an error."""

    declared: bool = False


class PassedOn(Stream[int]):
    """Asks for the numbers of another agent."""

    of: AgentRef
    end: int


class Wrong(Stream[int]):
    """Its handler returns a list."""


class Opaque(Stream[Any]):
    """Asks for an item that no codec can encode."""


class Sum(Request[int]):
    """Makes an agent read the numbers of another, by ``for`` if it is `blocking`."""

    of: AgentRef
    end: int
    blocking: bool = False


class Circle(Stream[int]):
    """Makes an agent yield what it asks of another, which reads this stream."""

    of: AgentRef


class ReadCircle(Request[int]):
    """Makes an agent read such a stream of another."""

    of: AgentRef


class Source(Recorder):
    """Yields numbers, and counts what it has yielded and how often its generators were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.yielded = 0
        self.closed = 0

    @on
    async def count(self, message: Count) -> AsyncIterator[int]:
        try:
            n = 0
            while n != message.end:
                self.yielded += 1
                yield n
                n += 1
        finally:
            await asyncio.sleep(0)
            self.closed += 1

    @on
    def count_plainly(self, message: PlainCount) -> Iterator[int]:
        try:
            n = 0
            while n != message.end:
                self.yielded += 1
                yield n
                n += 1
        finally:
            self.closed += 1

    @on
    async def hold(self, message: Held) -> AsyncIterator[int]:
        try:
            yield 0
            yield 1
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    @on
    async def pieces(self, message: Pieces) -> AsyncIterator[Any]:
        yield None
        yield {"numbers": [1, 2.5]}
        yield Piece("é", self.context.self_ref)
        yield b"\x00"

    @on(raises=Refused)
    async def fail_later(self, message: Broken) -> AsyncIterator[int]:
        yield 0
        yield 1
        raise Refused("as told") if message.declared else ValueError("broken")

    @on
    def pass_on(self, message: PassedOn) -> ReplyStream[int]:
        return message.of.stream(Count(message.end))

    @on
    def answer_wrongly(self, message: Wrong) -> Any:
        return [1]

    @on
    async def opaque(self, message: Opaque) -> AsyncIterator[Any]:
        try:
            yield 1
            yield threading.Lock()
            yield 2
        finally:
            self.closed += 1

    @on
    async def add(self, message: Sum) -> int:
        numbers = message.of.stream(Count(message.end))
        if message.blocking:
            return sum(numbers)
        return sum([n async for n in numbers])

    @on
    async def circle(self, message: Circle) -> AsyncIterator[int]:
        yield await message.of.ask(Echo(1))

    @on
    async def read_circle(self, message: ReadCircle) -> int:
        return sum([n async for n in message.of.stream(Circle(self.context.self_ref))])

    @on
    def counts(self, message: Notes) -> list[int]:
        return [self.yielded, self.closed]


class Overlapping(Agent):
    """Yields numbers by a handler that interleaves."""

    @on(interleave=True)
    async def count(self, message: Count) -> AsyncIterator[int]:
        for n in range(message.end):
            yield n

    @on
    def echo(self, message: Echo) -> int:
        return message.n


class Mixed(Agent):
    """Holds a stream open by a handler that interleaves, and fails over another message."""

    @on(interleave=True)
    async def hold(self, message: Held) -> AsyncIterator[int]:
        yield 0
        await asyncio.Event().wait()

    @on
    def echo(self, message: Echo) -> int:
        return 1 // message.n
