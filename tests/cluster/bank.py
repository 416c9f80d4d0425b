"""A bank over a cluster: `python -m tests.cluster.bank ADDRESS SEED KEYS COUNT,COUNT,... SETTINGS` transfers money until it is killed.

Each number is a client, and the count of the transfers that are known to be answered: it goes on with the next one. What a
client asks depends on the seed, its place and the count alone, so the balances of all accounts follow from the answers.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from coterie import Agent, AgentRef, Message, Request, on
from coterie.concurrency import start_thread
from coterie.errors import DeliveryError
from coterie.errors.cluster import ClusterError

START = 1_000
TIMEOUT = 5.0
BOUND = 20.0
"""The seconds within which each ask ends, with an answer or an error, whatever happens."""
PROCESS = secrets.token_hex(4)
"""The process in which an account is."""
ERRORS = (
    "AskTimeout", "AskCancelled", "UnknownAgent", "AgentStopped", "LeaseLost", "Fenced", "Superseded", "ChangeLost",
    "StorageUnavailable", "ClusterError", "RuntimeStopped", "StorageBusy", "MailboxFull",
)  # fmt: skip


class Transfer(Request[bool]):
    """Move money to another account; the answer says whether there was enough."""

    to: str
    amount: int


class Credit(Message):
    amount: int


class Note(Request[int]):
    """Count one more note; the answer is the number."""


class Balance(Request[int]):
    """Ask for the balance."""


class Notes(Request[int]):
    """Ask for the number of notes."""


class Where(Request[str]):
    """Ask for the node."""


class BankAccount(Agent):
    """A durable account, which stores the process that has changed it."""

    stored_name = "bank-account"

    def __init__(self) -> None:
        self.balance = START
        self.notes = 0
        self.by = ""

    def snapshot(self) -> dict[str, int | str]:
        return {"balance": self.balance, "notes": self.notes, "by": self.by}

    def restore(self, state: dict[str, int | str]) -> None:
        self.balance, self.notes, self.by = int(state["balance"]), int(state["notes"]), str(state["by"])

    @on
    def transfer(self, message: Transfer) -> bool:
        self.by = PROCESS
        if self.balance < message.amount:
            return False
        self.context.runtime.entity(BankAccount, message.to).tell(Credit(message.amount))
        self.balance -= message.amount
        return True

    @on
    def credit(self, message: Credit) -> None:
        self.balance += message.amount
        self.by = PROCESS

    @on
    def note(self, message: Note) -> int:
        self.notes += 1
        self.by = PROCESS
        return self.notes

    @on
    def read(self, message: Balance) -> int:
        return self.balance

    @on
    def read_notes(self, message: Notes) -> int:
        return self.notes

    @on
    def where(self, message: Where) -> str:
        return self.context.runtime.name


def draw(seed: int, client: int, count: int, keys: int) -> tuple[int, int, int]:
    """Return the accounts and the amount of a transfer."""
    chance = random.Random(f"{seed}/{client}/{count}")
    one, other = chance.sample(range(keys), 2)
    return one, other, chance.randint(1, 400)


class Answered(NamedTuple):
    """One answered transfer, as the program prints it."""

    client: int
    number: int
    moved: bool
    tries: int
    longest: float
    """The seconds of the longest of its asks."""
    whole: float
    """The seconds until it was answered, with all tries."""


def read(lines: Iterable[str]) -> list[Answered]:
    """Return the answered transfers. Raises `AssertionError` for a complaint of the program."""
    found = []
    for line in lines:
        kind, *words = line.split() or [""]
        if kind == "ended" or not line.endswith("\n"):
            continue
        assert kind == "answered", line
        client, number, moved, tries = map(int, words[:4])
        found.append(Answered(client, number, bool(moved), tries, float(words[4]), float(words[5])))
    return found


def balances(seed: int, keys: int, answered: Iterable[Answered]) -> list[int]:
    """Return the balances of all accounts after each answered transfer took effect once."""
    found = [START] * keys
    for each in answered:
        one, other, amount = draw(seed, each.client, each.number, keys)
        if each.moved:
            found[one] -= amount
            found[other] += amount
    return found


class Client:
    """Asks for one thing at a time until it is answered, and complains about what must not be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._pause = threading.Event()
        self.tries = 0
        self.longest = 0.0

    def ask(self, account: AgentRef, request: Request[int], key: str | None) -> int:
        """Return the answer, after as many tries as it takes."""
        while True:
            self.tries += 1
            began = time.monotonic()  # noqa: TID251 - of a test
            try:
                return account.ask(request, idempotency_key=key, timeout=TIMEOUT).result(BOUND)
            except DeliveryError as error:
                if not any(known in f"{type(error).__name__} {error}" for known in ERRORS):
                    self._say(f"unexpected {type(error).__name__}: {error}")
                self._pause.wait(0.1)
            except TimeoutError:
                self._say(f"unbounded: an ask for {request} has not ended after {BOUND} s")
            finally:
                self.longest = max(self.longest, time.monotonic() - began)  # noqa: TID251 - of a test


def main(address: str, seed: int, keys: int, begin: list[int], settings: dict[str, Any]) -> None:
    """Transfer until killed, or until the input ends: then each client ends with an answer."""
    from coterie.cluster import Cluster  # noqa: PLC0415 - the nodes need it not
    from tests.cluster.fleet import connect_ray  # noqa: PLC0415 - as above

    lock, over = threading.Lock(), threading.Event()
    # Ray writes to the standard output as well.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line: str) -> None:
        with lock:
            output.write(" ".join(line.split()) + "\n")
            output.flush()

    def work(number: int, cluster: Cluster) -> None:
        own = None
        while own is None:
            try:
                own = cluster.entity(BankAccount, f"{seed}-own-{number}")
            except ClusterError:
                # The directory has just been killed.
                over.wait(0.5)
        for count in range(begin[number], 1_000_000):
            client, began = Client(say), time.monotonic()  # noqa: TID251 - of a test
            one, other, amount = draw(seed, number, count, keys)
            name = f"{seed}/{number}/{count}"
            account = cluster.entity(BankAccount, f"{seed}-{one}")
            moved = client.ask(account, Transfer(f"{seed}-{other}", amount), name)
            # What was answered before a read is in the read, whichever node answers.
            noted, seen = client.ask(own, Note(), name), client.ask(own, Notes(), None)
            if noted != count + 1 or seen != noted:
                say(f"wrong: client {number} has noted {count + 1} times, was told {noted}, and read {seen}")
            whole = time.monotonic() - began  # noqa: TID251 - as above
            say(f"answered {number} {count} {int(moved)} {client.tries} {client.longest:.3f} {whole:.3f}")
            if over.wait(0.05):
                return

    connect_ray(address)
    with Cluster.connect(address, timeout=60.0, name="bank", settings=settings) as cluster:
        workers = [start_thread(partial(work, number, cluster), f"client-{number}") for number in range(len(begin))]
        sys.stdin.read()
        over.set()
        for worker in workers:
            worker.join()
    say("ended")


if __name__ == "__main__":
    from tests.cluster import bank  # noqa: PLW0406 - the nodes know the classes by the name of this module

    bank.main(
        sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(each) for each in sys.argv[4].split(",")], json.loads(sys.argv[5])
    )
