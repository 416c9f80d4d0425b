"""The agents that are measured, and the peers' like them."""

from __future__ import annotations

import time

from coterie import Agent, AgentRef, Message, Request, on


class Add(Request[int]):
    amount: int


class Note(Message):
    amount: int


class AskMany(Request[int]):
    count: int


class Hold(Request[int]):
    seconds: float
    burn: bool


class Crash(Message):
    pass


class AsyncCounter(Agent):
    """A counter whose handlers are ``async``, and do not wait."""

    def __init__(self) -> None:
        self.count = 0

    @on
    async def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count

    @on
    async def note(self, message: Note) -> None:
        self.count += message.amount


class Counter(Agent):
    def __init__(self) -> None:
        self.count = 0

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count

    @on
    def note(self, message: Note) -> None:
        self.count += message.amount

    @on
    def hold(self, message: Hold) -> int:
        if not message.burn:
            time.sleep(message.seconds)
            return 0
        end = time.perf_counter() + message.seconds
        turns = 0
        while time.perf_counter() < end:
            turns += 1
        return turns

    @on
    def crash(self, message: Crash) -> None:  # noqa: ARG002
        raise RuntimeError("on purpose")


class Asker(Agent):
    """Asks another, again and again, from within a handler."""

    def __init__(self, other: AgentRef) -> None:
        self.other = other

    @on
    async def ask_many(self, message: AskMany) -> int:
        for _ in range(message.count):
            await self.other.ask(Add(1))
        return message.count


class BlockingAsker(Agent):
    """The same, blocking its thread."""

    def __init__(self, other: AgentRef) -> None:
        self.other = other

    @on
    def ask_many(self, message: AskMany) -> int:
        for _ in range(message.count):
            self.other.ask(Add(1)).result()
        return message.count
