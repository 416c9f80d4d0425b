"""The agents of nodes in processes of their own. Every process imports this module by its own name."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from coterie import Agent, AgentDown, AgentRef, MailboxPolicy, Message, Request, Runtime, on
from coterie.errors import CoterieError
from coterie.meetings import Accept, Decline, Invitation, MeetingEnded, Meetings, Utterance, Utterances, Welcome
from coterie.network import NetworkTransport


class Mark(Message):
    n: int
    padding: str = ""


class Marks(Request[list[int]]):
    pass


class Process(Request[int]):
    """Asks for the number of the agent's process."""


class Wait(Request[int]):
    seconds: float


class Publish(Request[int]):
    topic: str
    n: int


class Follow(Request[None]):
    agent: AgentRef


class News(Request[list[str]]):
    pass


class Greet(Request[int]):
    """Makes an agent ask another for the number of its process."""

    agent: AgentRef


class Ada(Agent):
    """Keeps marks, and tells what it is asked."""

    subscribes_to = ("marks",)

    def __init__(self, start: int = 0) -> None:
        self.marks: list[int] = [start] if start else []
        self.news: list[str] = []

    @on
    def mark(self, message: Mark) -> None:
        self.marks.append(message.n)

    @on
    def tell_marks(self, message: Marks) -> list[int]:
        return self.marks

    @on
    def process(self, message: Process) -> int:
        return os.getpid()

    @on(interleave=True)
    async def wait(self, message: Wait) -> int:
        await asyncio.sleep(message.seconds)
        return len(self.marks)

    @on
    def publish(self, message: Publish) -> int:
        return int(self.context.publish(message.topic, Mark(message.n)))

    @on
    def follow(self, message: Follow) -> None:
        self.context.watch(message.agent)

    @on
    def down(self, message: AgentDown) -> None:
        self.news.append(f"{message.agent.name}: {message.reason}")

    @on
    def tell_news(self, message: News) -> list[str]:
        return self.news

    @on
    async def greet(self, message: Greet) -> int:
        return await message.agent.ask(Process())


class Call(Request[str]):
    """Makes a member call a meeting; the answer is its id."""

    guests: list[AgentRef]


class Say(Request[int]):
    meeting: str
    text: str


class Heard(Request[list[str]]):
    """Asks a member for what it knows to have been said in a meeting."""

    meeting: str


class Guest(Agent):
    """Accepts every invitation."""

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:
        return True

    @on
    def told(self, message: Utterance | Utterances | Welcome | MeetingEnded) -> None:
        pass

    @on(raises=CoterieError, interleave=True)
    async def call(self, message: Call) -> str:
        return (await self.context.use(Meetings).call("lake", message.guests, timeout=20)).id

    @on(raises=CoterieError, interleave=True)
    async def say(self, message: Say) -> int:
        return await self.context.use(Meetings).meeting(message.meeting).say(message.text)

    @on(raises=CoterieError)
    def heard(self, message: Heard) -> list[str]:
        meeting = self.context.use(Meetings).meeting(message.meeting)
        return [str(utterance.content) for utterance in meeting.transcript]


def host_two(runtime: Runtime, network: NetworkTransport) -> None:
    """Set a node up."""
    runtime.spawn(Ada, name="ada", mailbox=MailboxPolicy(1_000_000))
    runtime.spawn(Ada, 7, name=f"bob-{network.name}")


def hold_meetings(runtime: Runtime, network: NetworkTransport) -> None:
    """Set a node up."""
    runtime.provide(Meetings(patience=20.0))
    runtime.spawn(Guest, name=f"guest-{network.name}")


def fail(*_: Any) -> None:
    """Fail to set a node up."""
    raise ValueError("no coffee")
