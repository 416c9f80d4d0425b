"""A process with something of everything, shown in a console."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from coterie.console import Console, ConsoleOptions
from coterie.conversation import Conversation, Conversations, ConversationSettings, tool
from coterie.kernel.access import AccessToken
from coterie.meetings import Invitation, Meetings
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentRef, Runtime, on
from coterie.testing import eventually
from tests.conversation.scripted import Script, by_words

TOKEN, ANN, BOB = (AccessToken(f"the-token-of-{name}-alone") for name in ("operator", "ann", "bob"))


class Fail(Message):
    pass


class Letter(Message):
    text: str


class Hold(Request[str]):
    guests: tuple[AgentRef, ...]
    record: str | None = None


class Close(Request[None]):
    pass


class Worker(Agent):
    """Reads letters, and comes to meetings."""

    def __init__(self, motto: str) -> None:
        self.motto = motto
        self.letters = 0

    @on
    def fail(self, _: Fail) -> None:
        raise ValueError("the saw is blunt")

    @on
    def come(self, invitation: Invitation) -> bool:
        return True

    @on
    def read(self, letter: Letter) -> None:
        self.letters += 1
        self.context.log.warning("read %s", letter.text)


class Boss(Agent):
    def on_start(self) -> None:
        self.context.spawn(Worker, "<b>haste</b>", name="worker")

    @on(interleave=True)
    async def hold(self, message: Hold) -> str:
        meeting = await self.context.use(Meetings).call("the budget", message.guests, record=message.record)
        self.meeting = meeting
        await meeting.say("we spend <i>less</i>")
        await meeting.put_to_vote("cut", ["yes", "no"])
        return meeting.id

    @on
    async def close(self, _: Close) -> None:
        await self.meeting.close("enough")


class Live:
    """The parts, and the console that shows them."""

    def __init__(self, resources: ExitStack, place: Path) -> None:
        enter = resources.enter_context
        self.place = place
        self.console = enter(
            Console([place], options=ConsoleOptions(port=0, period=0.05), token=TOKEN, users={"ann": ANN, "bob": BOB})
        )
        self.paid: list[int] = []

        @tool(confirm="Really pay?", resources=["money"])
        def pay(amount: int) -> str:
            self.paid.append(amount)
            return f"{amount} paid"

        self.runtime = enter(Runtime("town"))
        self.boss = self.runtime.spawn(Boss, name="boss")
        eventually(lambda: self.runtime.find("worker"))
        guest = self.runtime.spawn(Worker, "quiet", name="guest")
        meetings = self.runtime.provide(Meetings())
        self.meeting = self.boss.ask(Hold((guest,))).result()
        gone = self.runtime.spawn(Worker, "gone", name="gone")
        gone.stop().result()
        gone.tell(Letter("to nobody"))
        self.gone = self.runtime.spawn(Worker, "new", name="gone")
        settings = ConversationSettings(patience=5, grace=0.02)
        self.conversations = enter(Conversations(Script(by_words), [pay], settings=settings))
        self.chats: dict[str, Conversation] = {}
        for user in ("ann", "bob"):
            chat = self.chats[user] = self.conversations.open(("customer", user), user=user)
            asyncio.run(chat.send('!pay {"amount": 5}').answer())
        self.memory = enter(TieredMemory(MemoryConfig(path=place / "memory.db")))
        for user, text in (("ann", "Ann likes red apples"), ("bob", "Bob grows green pears")):
            AgentMemory(self.memory, user, consolidate_at=None).remember(text)
        self.shown: tuple[Any, ...] = (self.runtime, meetings, self.conversations, self.memory)
        for part, name in zip(self.shown, ("town", "meetings", "chats", "memory"), strict=True):
            self.console.show(part, name)


@contextmanager
def living(place: Path) -> Iterator[Live]:
    """Start everything, and end it after the block."""
    with ExitStack() as resources:
        yield Live(resources, place)
