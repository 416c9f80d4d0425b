"""The primitives themselves, used bare: what no runtime can be faster than."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

STOP = object()
QUIET = object()


class SimpleQueues:
    """A thread with a `queue.SimpleQueue`, which answers into another."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        count = 0
        while (message := self.requests.get()) is not STOP:
            count += 1
            if message is not QUIET:
                self.answers.put(count)

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.requests.put(1)
            self.answers.get()

    def tell(self, count: int) -> None:
        for _ in range(count):
            self.requests.put(QUIET)

    def close(self) -> None:
        self.requests.put(STOP)
        self.thread.join()


class LoopThread:
    """A thread with an ordinary event loop of its own and a number to count."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.count = 0
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def handle(self, asker: asyncio.AbstractEventLoop, answer: asyncio.Future[int]) -> None:
        self.count += 1
        asker.call_soon_threadsafe(answer.set_result, self.count)

    async def ask(self) -> int:
        asker = asyncio.get_running_loop()
        answer: asyncio.Future[int] = asker.create_future()
        self.loop.call_soon_threadsafe(self.handle, asker, answer)
        return await answer

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class LoopAgents:
    """Tasks on one event loop, each of which answers what comes in its queue."""

    def __init__(self, count: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.queues: list[asyncio.Queue[asyncio.Future[int]]] = [asyncio.Queue() for _ in range(count)]
        self.tasks = [self.loop.create_task(self._answer(queue)) for queue in self.queues]

    @staticmethod
    async def _answer(queue: asyncio.Queue[asyncio.Future[int]]) -> None:
        count = 0
        while True:
            answer = await queue.get()
            count += 1
            answer.set_result(count)

    def ask_all(self) -> None:
        self.loop.run_until_complete(self._ask_all())

    async def _ask_all(self) -> None:
        answers: list[asyncio.Future[int]] = [self.loop.create_future() for _ in self.queues]
        for box, answer in zip(self.queues, answers, strict=True):
            box.put_nowait(answer)
        await asyncio.gather(*answers)

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))
        self.loop.close()


async def ask_on_one_loop(count: int) -> None:
    """Two tasks on one event loop with an `asyncio.Queue` each way."""
    requests: asyncio.Queue[int] = asyncio.Queue()
    answers: asyncio.Queue[int] = asyncio.Queue()

    async def serve() -> None:
        while True:
            await answers.put(await requests.get() + 1)

    server = asyncio.create_task(serve())
    for n in range(count):
        await requests.put(n)
        await answers.get()
    server.cancel()
