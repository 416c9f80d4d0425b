"""A bank that can be killed: transfer money between durable accounts, count it, and go on after any crash.

Run it, kill it (`kill -9`, or pull the plug), and run it again: `python examples/bank.py bank.db`. The sum of all money is the
same each time, and each transfer that was acknowledged is there.
"""

import random
import sys
import time

from coterie import Agent, Message, Request, Runtime, on

ACCOUNTS = 100
START = 1_000


class Transfer(Request[bool]):
    """Move money to another account; the answer says whether there was enough."""

    to: str
    amount: int


class Credit(Message):
    """Money that another account has sent."""

    amount: int


class Balance(Request[int]):
    """Ask for the balance."""


class Account(Agent):
    """One account. Its balance and the money that it sends are stored in one transaction."""

    def __init__(self) -> None:
        self.balance = START

    def snapshot(self) -> dict[str, int]:
        return {"balance": self.balance}

    def restore(self, state: dict[str, int]) -> None:
        self.balance = state["balance"]

    @on
    def transfer(self, message: Transfer) -> bool:
        if message.amount > self.balance:
            return False
        self.balance -= message.amount
        self.context.runtime.entity(Account, message.to).tell(Credit(message.amount))
        return True

    @on
    def credit(self, message: Credit) -> None:
        self.balance += message.amount

    @on
    def tell(self, message: Balance) -> int:
        return self.balance


def money(runtime: Runtime) -> int:
    """Return the sum of all balances."""
    return sum(runtime.entity(Account, str(key)).ask(Balance()).result() for key in range(ACCOUNTS))


def main(store: str, transfers: int) -> None:
    """Count the money, transfer, and count again."""
    for times in (transfers, 0):
        with Runtime(store=store) as runtime:
            runtime.durable.register(Account)  # delivers the money that was under way at the end of the last run
            while runtime.durable.undelivered:
                time.sleep(0.01)
            print(f"the bank has {money(runtime):,}", flush=True)
            draw = random.SystemRandom()
            for _ in range(times):
                one, other = draw.sample(range(ACCOUNTS), 2)
                runtime.entity(Account, str(one)).ask(Transfer(str(other), draw.randint(1, 50))).result()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bank.db", int(sys.argv[2]) if len(sys.argv) > 2 else 300)
