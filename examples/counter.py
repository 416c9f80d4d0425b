"""An agent and its messages. Code on any thread and any event loop may send them."""

import asyncio

from coterie import Agent, Request, Runtime, on


class Add(Request[int]):
    amount: int


class Counter(Agent):
    def __init__(self, start: int = 0) -> None:
        self.count = start

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count


async def main() -> None:
    async with Runtime() as runtime:
        counter = runtime.spawn(Counter, 10, name="counter")
        answers = await asyncio.gather(*(counter.ask(Add(amount=1)) for _ in range(5)))
        print("answers:", answers)


if __name__ == "__main__":
    asyncio.run(main())
