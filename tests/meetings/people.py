"""Agents for tests of meetings: they write down what they are sent, and do what a test tells them to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from coterie import Agent, AgentRef, CoterieError, HandlerFailed, Request, Runtime, on
from coterie.meetings import (
    Accept,
    Decline,
    Invitation,
    Meeting,
    MeetingCancelled,
    MeetingEnded,
    MeetingNews,
    Meetings,
    Utterance,
    Utterances,
    Welcome,
    YourTurn,
)


class Do(Request[Any]):
    """Call a coroutine function with the agent, within it."""

    work: Callable[[Any], Awaitable[Any]]


class Heard(Request[list[Any]]):
    """Tell what you were sent, in order."""


class Member(Agent):
    """Answers invitations as it is told, and writes down all that it is sent."""

    def __init__(self, answer: Any = True, speaks: bool = False) -> None:
        self.answer = answer
        self.speaks = speaks
        self.sent: list[Any] = []

    @on(interleave=True, raises=CoterieError)
    async def do(self, message: Do) -> Any:
        return await message.work(self)

    @on
    def heard(self, message: Heard) -> list[Any]:
        return list(self.sent)

    @on
    async def invited(self, message: Invitation) -> Accept | Decline | bool:
        self.sent.append(message)
        if self.answer == "silence":
            await asyncio.sleep(3600)
        if self.answer == "crash":
            raise RuntimeError("no time for this")
        answer: Accept | Decline | bool = self.answer
        return answer

    @on
    async def turn(self, message: YourTurn) -> None:
        self.sent.append(message)
        if self.speaks:
            meeting = self.meeting(message.meeting)
            await meeting.say(f"{meeting.me} in turn {message.turn}")

    @on
    def told(self, message: Utterance | Utterances | Welcome | MeetingEnded | MeetingCancelled | MeetingNews) -> None:
        self.sent.append(message)

    def meeting(self, id: str) -> Meeting:  # noqa: A002
        return self.context.use(Meetings).meeting(id)


class House:
    """A runtime with meetings, and short ways to use it."""

    def __init__(self, runtime: Runtime, meetings: Meetings) -> None:
        self.runtime = runtime
        self.meetings = meetings

    def member(self, name: str, answer: Any = True, **options: Any) -> AgentRef:
        return self.runtime.spawn(Member, answer, name=name, **options)

    def do(self, agent: AgentRef, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do something within an agent, and return or raise what it does."""
        try:
            return agent.ask(Do(work), timeout=30).result(30)
        except HandlerFailed as error:
            raise (error.__cause__ or error) from None

    def call(self, caller: AgentRef, invite: Any = (), **options: Any) -> str:
        """Have an agent call a meeting, and return its id."""
        options.setdefault("topic", "budget")

        async def work(agent: Member) -> str:
            meeting = await agent.context.use(Meetings).call(options.pop("topic"), invite, **options)
            return meeting.id

        return str(self.do(caller, work))

    def use(self, agent: AgentRef, id: str, what: Callable[[Meeting], Awaitable[Any]]) -> Any:  # noqa: A002
        """Have a member do something in a meeting."""
        return self.do(agent, lambda member: what(member.meeting(id)))

    def see(self, agent: AgentRef, id: str, what: Callable[[Meeting], Any]) -> Any:  # noqa: A002
        """Return something of a member's view."""

        async def work(meeting: Meeting) -> Any:
            return what(meeting)

        return self.use(agent, id, work)

    def sent(self, agent: AgentRef, kind: type[Any]) -> list[Any]:
        """Return what an agent was sent so far, of a type."""
        return [message for message in agent.ask(Heard()).result(10) if isinstance(message, kind)]

    def contents(self, agent: AgentRef) -> list[Any]:
        """Return what an agent has heard being said."""
        return [utterance.content for utterance in self.sent(agent, Utterance)]


@contextmanager
def house(*, folder: Any = None, patience: float = 10.0, timeout: float = 10.0, **options: Any) -> Iterator[House]:
    with Runtime(**options) as runtime:
        yield House(runtime, runtime.provide(Meetings(folder=folder, patience=patience, timeout=timeout)))
