"""Tasks that run on the loop of an agent."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from coterie import Agent, Dedicated, Leased, Message, Request, Runtime, Supervision, on
from coterie.runtime import Dispatcher


class Crash(Message):
    pass


class Lives(Request[int]):
    pass


class Poller(Agent):
    started: ClassVar[list[int]] = []
    ended: ClassVar[list[int]] = []

    async def on_start(self) -> None:
        self.life = len(self.started)
        self.started.append(self.life)
        self.task = asyncio.create_task(self.poll(self.life))
        await asyncio.sleep(0)

    async def poll(self, life: int) -> None:
        try:
            await asyncio.sleep(3600.0)
        finally:
            self.ended.append(life)

    async def on_stop(self) -> None:
        self.last = asyncio.create_task(asyncio.sleep(3600.0))

    @on
    def crash(self, message: Crash) -> None:
        raise ValueError("as told")

    @on
    def lives(self, message: Lives) -> int:
        return len(self.started)


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_a_task_made_by_plain_asyncio_ends_with_the_life_that_made_it(dispatcher: Dispatcher) -> None:
    Poller.started.clear()
    Poller.ended.clear()
    with Runtime(dispatcher=dispatcher, supervision=Supervision(max_restarts=5, backoff=0.0)) as runtime:
        poller = runtime.spawn(Poller)
        for _ in range(3):
            poller.tell(Crash())
        assert poller.ask(Lives()).result() == 4
        assert Poller.ended == [0, 1, 2]
        poller.stop().result()
        assert Poller.ended == [0, 1, 2, 3]


class Take(Request[int]):
    pass


class Streaming(Agent):
    closed: ClassVar[list[str]] = []

    async def stream(self) -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            await asyncio.sleep(0.001)
            self.closed.append(self.context.self_ref.name)

    @on
    async def take(self, message: Take) -> int:
        self.unfinished = self.stream()
        return await anext(self.unfinished)


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_an_unfinished_generator_is_closed_before_its_agent_has_ended(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    Streaming.closed.clear()
    with Runtime(dispatcher=dispatcher) as runtime:
        agents = [runtime.spawn(Streaming) for _ in range(10)]
        assert [agent.ask(Take()).result(10) for agent in agents] == [1] * 10
        for agent in agents:
            agent.stop().result(10)
            assert Streaming.closed[-1] == agent.name
    assert caplog.text == ""
