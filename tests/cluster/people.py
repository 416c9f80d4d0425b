"""Agents and messages that all processes of the tests know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from dataclasses import dataclass

from coterie import Agent, AgentDown, AgentRef, Message, Request, on
from coterie.cluster import Cluster, ClusterLimits
from coterie.errors import BudgetExhausted, CoterieError
from coterie.meetings import MeetingEnded, Meetings, Utterance, Utterances, Welcome
from coterie.models import Budget, ModelGateway, ModelRequest, RuleModel
from tests.network.people import Guest


class Where(Request[str]):
    """Asks for the node."""


class Pid(Request[int]):
    """Asks for the process."""


class Add(Request[int]):
    amount: int


class Bump(Message):
    amount: int = 1


class Sleep(Request[int]):
    seconds: float


class Big(Request[int]):
    data: bytes


@dataclass(frozen=True)
class Start:
    value: int


class Counter(Agent):
    def __init__(self, start: Start | None = None, step: int = 1) -> None:
        self.count = start.value if start is not None else 0
        self.step = step

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount * self.step
        return self.count

    @on
    def bump(self, message: Bump) -> None:
        self.count += message.amount

    @on
    def where(self, message: Where) -> str:
        return self.context.runtime.name

    @on
    def pid(self, message: Pid) -> int:
        return os.getpid()

    @on
    def sleep(self, message: Sleep) -> int:
        time.sleep(message.seconds)
        return 1

    @on
    def big(self, message: Big) -> int:
        return len(message.data)


class Relay(Request[int]):
    to: AgentRef
    amount: int


class Peer(Counter):
    """Asks other agents."""

    @on
    async def relay(self, message: Relay) -> int:
        return await message.to.ask(Add(message.amount))


class Downs:
    """The reasons for which watched agents are down. It holds a lock, so an agent is given it as it is."""

    def __init__(self) -> None:
        self.down = threading.Event()
        self.reasons: list[str] = []


class Watcher(Agent):
    """Notes that a watched agent is down. Lives in the process of the test."""

    def __init__(self, target: AgentRef, downs: Downs) -> None:
        self.target, self.downs = target, downs

    def on_start(self) -> None:
        self.context.watch(self.target)

    @on
    def agent_down(self, message: AgentDown) -> None:
        self.downs.reasons.append(message.reason)
        self.downs.down.set()


class Deposit(Request[int]):
    amount: int


class Balance(Request[int]):
    """Asks for the balance."""


class Credit(Message):
    amount: int


class Transfer(Request[bool]):
    to: str
    amount: int


class Later(Request[bool]):
    """Makes an account remind itself of a credit."""

    seconds: float
    amount: int


class Slow(Request[int]):
    """Deposits after so many seconds."""

    seconds: float
    amount: int


class Account(Agent):
    """A durable account, which also knows on which node it is."""

    stored_name = "account"

    def __init__(self) -> None:
        self.balance = 0

    def snapshot(self) -> dict[str, int]:
        return {"balance": self.balance}

    def restore(self, state: dict[str, int]) -> None:
        self.balance = state["balance"]

    @on
    def deposit(self, message: Deposit) -> int:
        self.balance += message.amount
        return self.balance

    @on
    def read(self, message: Balance) -> int:
        return self.balance

    @on
    def credit(self, message: Credit) -> None:
        self.balance += message.amount

    @on
    def transfer(self, message: Transfer) -> bool:
        if message.amount > self.balance:
            return False
        self.balance -= message.amount
        self.context.runtime.entity(Account, message.to).tell(Credit(message.amount))
        return True

    @on
    def later(self, message: Later) -> bool:
        self.context.remind(message.seconds, Credit(message.amount))
        return True

    @on
    def slow(self, message: Slow) -> int:
        time.sleep(message.seconds)
        self.balance += message.amount
        return self.balance

    @on
    def where(self, message: Where) -> str:
        return self.context.runtime.name


class Listener(Counter):
    """Counts what is published."""

    def on_start(self) -> None:
        self.context.subscribe("news")


class Shout(Request[int]):
    amount: int


class Speaker(Agent):
    @on
    def shout(self, message: Shout) -> int:
        self.context.publish("news", Bump(message.amount))
        return 1


class AskModel(Request[int]):
    """Asks a model so often, and answers how often the budget has permitted it."""

    times: int


class ModelUser(Agent):
    """Asks a model through a gateway of its own, within a budget of the whole cluster."""

    def __init__(self, name: str, requests: int) -> None:
        self.name, self.requests = name, requests

    def on_start(self) -> None:
        shared = ClusterLimits(self.context.use(Cluster), self.name, budget=Budget(requests=self.requests))
        self.gateway = ModelGateway(RuleModel(lambda _: "yes"), shared=shared)

    def on_stop(self) -> None:
        self.gateway.close()

    @on
    async def ask_model(self, message: AskModel) -> int:
        for count in range(message.times):
            try:
                await self.gateway.ask(ModelRequest(agent="user", step=str(count)))
            except BudgetExhausted:
                return count
        return message.times


class Talk(Message):
    """Makes a guest say one thing after another: its name and a number."""

    meeting: str


class Finish(Request[None]):
    """Makes a member close a meeting."""

    meeting: str
    outcome: str


class Copy(Request[list[str]]):
    """Asks a member for its copy of a meeting: the texts, and the digest at the end."""

    meeting: str


class Outcomes(Request[list[str]]):
    """Asks a member for the outcomes of the meetings that are over for it."""


class Talker(Guest):
    """A guest that goes on talking by itself, also when it is cut off."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    @on
    def talk(self, message: Talk) -> None:
        self.context.create_task(self._talk(message.meeting))

    async def _talk(self, meeting: str) -> None:
        for number in range(10_000):
            with contextlib.suppress(CoterieError):
                await self.context.use(Meetings).meeting(meeting).say(f"{self.context.self_ref.name} {number}")
            await asyncio.sleep(0.2)

    @on(raises=CoterieError, interleave=True)
    async def finish(self, message: Finish) -> None:
        await self.context.use(Meetings).meeting(message.meeting).close(message.outcome)

    @on(raises=CoterieError)
    def copy(self, message: Copy) -> list[str]:
        meeting = self.context.use(Meetings).meeting(message.meeting)
        return [*(str(utterance.content) for utterance in meeting.transcript), meeting.digest()]

    @on
    def told(self, message: Utterance | Utterances | Welcome | MeetingEnded) -> None:
        if isinstance(message, MeetingEnded):
            self.outcomes.append(str(message.outcome))

    @on
    def tell_outcomes(self, message: Outcomes) -> list[str]:
        return self.outcomes
