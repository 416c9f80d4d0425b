"""An agent computes in a process and acts with retries, and handles messages meanwhile; results arrive as messages."""

import asyncio
import math
from collections.abc import Iterator

from coterie import Agent, Message, Request, Runtime, on
from coterie.work import ActionSystem, Job, ProcessingEngine, ResourceLimits, Retry, TaskType

BOTH = 2


class Think(Request[int]):
    number: int


class Pay(Message):
    coins: int


class Paid(Message):
    receipt: str


class Receipts(Request[list[str]]):
    pass


class Clerk(Agent):
    def __init__(self) -> None:
        self.receipts: list[str] = []
        self.both = asyncio.Event()

    @on(interleave=True)
    async def think(self, message: Think) -> int:
        engine = self.context.use(ProcessingEngine)
        digits = await engine.submit(math.factorial, message.number, type=TaskType.REASONING, cpu_bound=True)
        return digits.bit_length()

    @on
    def pay(self, message: Pay) -> None:
        me = self.context.self_ref

        def done(action: Job[str]) -> None:
            me.tell(Paid(receipt=action.result()))

        retry = Retry(3, initial=0.01)
        self.context.use(ActionSystem).submit(
            transfer, message.coins, resource="bank", target="bank", key=f"pay-{message.coins}", retry=retry, callback=done
        )

    @on
    async def paid(self, message: Paid) -> None:
        self.receipts.append(message.receipt)
        if len(self.receipts) == BOTH:
            self.both.set()

    @on(interleave=True)
    async def all_receipts(self, _: Receipts) -> list[str]:
        await self.both.wait()
        return self.receipts


moods: Iterator[bool] = iter([False, False, True, True])


def transfer(coins: int) -> str:
    if not next(moods):
        raise ConnectionError("the bank is not there")
    return f"{coins} coins paid"


def main() -> None:
    with (
        ProcessingEngine() as engine,
        ActionSystem(resources={"bank": ResourceLimits(at_once=1, rate=100.0)}) as actions,
        Runtime() as runtime,
    ):
        runtime.provide(engine)
        runtime.provide(actions)
        clerk = runtime.spawn(Clerk)
        thought = clerk.ask(Think(number=2_000))
        clerk.tell(Pay(coins=5))
        clerk.tell(Pay(coins=5))  # the same key: both hear of the one payment
        receipts = clerk.ask(Receipts()).result()
        totals = actions.metrics().totals
        print(f"{receipts}: paid {totals.succeeded} time, after {totals.retries} retries; {thought.result()} bits")


if __name__ == "__main__":
    main()
