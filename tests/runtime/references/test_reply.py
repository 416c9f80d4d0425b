"""A reply among the things that asyncio waits for."""

import asyncio

import pytest

from coterie import Agent, Reply, Request, Runtime, on


class Wait(Request[int]):
    seconds: float = 0.0


class Counts(Request[tuple[int, int]]):
    """How many waits have begun, and how many were cancelled."""


class Waiter(Agent):
    def __init__(self) -> None:
        self.begun = self.cancelled = 0

    @on(interleave=True)
    async def wait(self, message: Wait) -> int:
        self.begun += 1
        try:
            await asyncio.sleep(message.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return 1

    @on
    def counts(self, message: Counts) -> tuple[int, int]:
        return self.begun, self.cancelled


def test_a_reply_gives_a_future_for_asyncio_to_wait_for() -> None:
    async def main() -> None:
        async with Runtime() as runtime:
            agent = runtime.spawn(Waiter)
            done, pending = await asyncio.wait([agent.ask(Wait()).future() for _ in range(3)], timeout=10)
            assert [each.result() for each in done] == [1, 1, 1]
            assert not pending
            future = agent.ask(Wait(seconds=60)).future()
            while await agent.ask(Counts()) != (4, 0):
                await asyncio.sleep(0.001)
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
            while await agent.ask(Counts()) != (4, 1):
                await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_reply_that_is_used_as_a_future_raises_with_the_remedy() -> None:
    async def main() -> None:
        async with Runtime() as runtime:
            reply = runtime.spawn(Waiter).ask(Wait())
            with pytest.raises(AttributeError, match=r"awaitable, but no future: use reply\.future\(\)"):
                await asyncio.wait([reply])  # type: ignore[type-var] # that is the test
            with pytest.raises(AttributeError, match=r"no attribute 'answer'$"):
                _ = reply.answer  # type: ignore[attr-defined] # that is the test
            assert await reply == 1

    asyncio.run(main())


def test_a_reply_that_is_awaited_without_asyncio_raises_with_the_remedy() -> None:
    with Runtime() as runtime:
        reply: Reply[int] = runtime.spawn(Waiter).ask(Wait(seconds=60))
        with pytest.raises(RuntimeError, match="wait for it on a helper thread"):
            reply.__await__().send(None)
        with pytest.raises(RuntimeError, match="wait for it on a helper thread"):
            reply.future()
        reply.cancel()
