"""Agents for the suite of durable agents."""

from __future__ import annotations

from typing import Any

from coterie import Agent, AgentRef, Message, Request, on


class Add(Request[int]):
    """Add to the count, and answer it."""

    amount: int = 1


class Count(Request[int]):
    """Ask for the count."""


class Forward(Request[int]):
    """Add to the count, and send `Bump` to another counter."""

    to: str
    amount: int


class Bump(Message):
    """Add to the count."""

    amount: int


class Break(Request[int]):
    """Change the count, send a message, and raise."""

    declared: bool = False
    to: str = ""


class Poison(Message):
    """A message that fails until the class attribute `healthy` is set."""


class RemindMe(Request[None]):
    """Set a reminder that adds."""

    after: float
    amount: int
    key: str | None = None


class CancelReminder(Request[None]):
    """Cancel a reminder."""

    key: str


class Key(Request[str]):
    """Ask for the key."""


class Follow(Request[None]):
    """Subscribe to a topic, or unsubscribe."""

    topic: str
    on: bool = True


class Declared(Exception):
    """An error that the handler declares."""


class Counter(Agent):
    """A durable agent that keeps a count by snapshots."""

    healthy = True
    stored_name = "suite-counter"

    def __init__(self) -> None:
        self.count = 0

    def snapshot(self) -> dict[str, int]:
        return {"count": self.count}

    def restore(self, state: dict[str, int]) -> None:
        self.count = state["count"]

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count

    @on
    def tell(self, message: Count) -> int:
        return self.count

    @on
    async def forward(self, message: Forward) -> int:
        self.count += message.amount
        self.context.runtime.entity(type(self), message.to).tell(Bump(message.amount))
        return self.count

    @on
    def bump(self, message: Bump) -> None:
        self.count += message.amount

    @on(raises=Declared)
    def fail(self, message: Break) -> int:
        self.count += 1_000
        if message.to:
            self.context.runtime.entity(type(self), message.to).tell(Bump(1_000))
        raise Declared("as declared") if message.declared else ValueError("broken")

    @on
    def poison(self, message: Poison) -> None:
        self.count += 1
        if not type(self).healthy:
            raise ValueError("poisoned")

    @on
    def remind(self, message: RemindMe) -> None:
        self.context.remind(message.after, Bump(message.amount), key=message.key)

    @on
    def cancel(self, message: CancelReminder) -> None:
        self.context.cancel_reminder(message.key)

    @on
    def key(self, message: Key) -> str:
        return self.context.key

    @on
    def follow(self, message: Follow) -> None:
        (self.context.subscribe if message.on else self.context.unsubscribe)(message.topic)


class Deposited(Message):
    """An event: money came in."""

    amount: int


class Withdrawn(Message):
    """An event: money went out."""

    amount: int


class Deposit(Request[int]):
    """Put money in; answer the balance."""

    amount: int


class Withdraw(Request[int]):
    """Take money out, in two events; answer the balance."""

    amount: int
    fails: bool = False


class RecordOther(Request[None]):
    """Record a value that `apply` does not declare."""


class Ledger(Agent):
    """A durable agent that keeps its state by events alone."""

    stored_name = "suite-ledger"

    def __init__(self) -> None:
        self.balance = 0
        self.applied = 0

    def apply(self, event: Deposited | Withdrawn) -> None:
        self.applied += 1
        self.balance += event.amount if isinstance(event, Deposited) else -event.amount

    @on
    def deposit(self, message: Deposit) -> int:
        self.context.record(Deposited(message.amount))
        return self.balance

    @on
    async def withdraw(self, message: Withdraw) -> int:
        self.context.record(Withdrawn(message.amount))
        self.context.record(Withdrawn(1))
        if message.fails:
            raise ValueError("no")
        return self.balance

    @on
    def other(self, message: RecordOther) -> None:
        self.context.record(Bump(1))

    @on
    def tell(self, message: Count) -> int:
        return self.balance


class SnapshotLedger(Ledger):
    """The same, with snapshots now and then."""

    stored_name = "suite-snapshot-ledger"

    def snapshot(self) -> dict[str, int]:
        return {"balance": self.balance}

    def restore(self, state: dict[str, int]) -> None:
        self.balance = state["balance"]


class Odd(Agent):
    """A durable agent with the state that the test gives to it."""

    stored_name = "suite-odd"

    def __init__(self) -> None:
        self.value: Any = None

    def snapshot(self) -> Any:
        return self.value

    def restore(self, state: Any) -> None:
        self.value = state

    @on
    def add(self, message: Add) -> int:
        self.value = {1, 2} if message.amount < 0 else "x" * message.amount
        return message.amount

    @on
    def tell(self, message: Count) -> int:
        return len(self.value or "")


class Flood(Request[None]):
    """Send numbers to another agent, as `Heard` messages."""

    to: str
    count: int


class Heard(Message):
    """A number."""

    number: int


class All(Request[list[int]]):
    """Ask for all numbers."""


class Sequence(Agent):
    """A durable agent that keeps the numbers that it hears, in their order."""

    stored_name = "suite-sequence"

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def snapshot(self) -> list[int]:
        return self.numbers

    def restore(self, state: list[int]) -> None:
        self.numbers = state

    @on
    def flood(self, message: Flood) -> None:
        other = self.context.runtime.entity(type(self), message.to)
        for number in range(message.count):
            other.tell(Heard(number))

    @on
    def hear(self, message: Heard) -> None:
        self.numbers.append(message.number)

    @on
    def all(self, message: All) -> list[int]:
        return list(self.numbers)


class Report(Request[None]):
    """Report to an ordinary agent, and fail if that is wanted."""

    to: AgentRef
    fails: bool = False


class Reporter(Counter):
    """A durable agent that tells an ordinary one."""

    stored_name = "suite-reporter"

    @on(raises=Declared)
    def report(self, message: Report) -> None:
        self.count += 1
        message.to.tell(Bump(self.count))
        if message.fails:
            raise Declared("after the message")
