"""A bank of durable accounts, which is killed: `python bank.py FILE SEED KEYS THREADS` transfers money until then."""

from __future__ import annotations

import os
import random
import sys
import threading
from functools import partial

from coterie import Agent, Message, Request, Runtime, on
from coterie.concurrency import start_thread
from coterie.errors import AskTimeout, DeliveryError
from coterie.runtime import DurablePolicy

START = 1_000


class Transfer(Request[bool]):
    """Move money to another account; the answer says whether there was enough."""

    to: str
    amount: int


class Credit(Message):
    """Money from another account."""

    amount: int


class Balance(Request[int]):
    """Ask for the balance."""


class Account(Agent):
    def __init__(self) -> None:
        self.balance = START
        self.moved: list[str] = []

    def snapshot(self) -> dict[str, int]:
        return {"balance": self.balance}

    def restore(self, state: dict[str, int]) -> None:
        self.balance = state["balance"]

    @on
    def transfer(self, message: Transfer) -> bool:
        if self.balance < message.amount:
            return False
        self.context.runtime.entity(Account, message.to).tell(Credit(message.amount))
        self.balance -= message.amount
        return True

    @on
    def credit(self, message: Credit) -> None:
        self.balance += message.amount

    @on
    def tell(self, message: Balance) -> int:
        return self.balance


def transfer(runtime: Runtime, account: str, request: Transfer, key: str) -> bool:
    """Ask until the bank answers: its database may be away for a while."""
    pause = threading.Event()
    while True:
        try:
            return runtime.entity(Account, account).ask(request, idempotency_key=key).result()
        except AskTimeout:
            # A message was lost: the test sees that the process has ended.
            os._exit(1)
        except DeliveryError:
            pause.wait(0.05)


def main(file: str, seed: int, keys: int, threads: int) -> None:
    """Transfer until killed; print the idempotency key of each acknowledged transfer."""
    lock = threading.Lock()
    with Runtime(store=file, durable=DurablePolicy(most_active=max(4, keys // 3), idle=0.2)) as runtime:
        runtime.durable.register(Account)

        def work(number: int) -> None:
            draw = random.Random(f"{seed}/{number}")
            for count in range(1_000_000):
                one, other = draw.sample(range(keys), 2)
                key = f"{seed}/{number}/{count}"
                moved = transfer(runtime, str(one), Transfer(str(other), draw.randint(1, 5)), key)
                with lock:
                    sys.stdout.write(f"{one} {key} {int(moved)}\n")
                    sys.stdout.flush()

        workers = [start_thread(partial(work, number), f"client-{number}") for number in range(threads)]
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
