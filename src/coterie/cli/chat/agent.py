"""The agent that shows a conversation on the screen and passes on the user's commands."""

from __future__ import annotations

import asyncio
import json

from coterie.cli.chat.screen import Screen
from coterie.cli.chat.words import step
from coterie.errors import CoterieError
from coterie.messaging import Message, Request
from coterie.runtime import Agent, on

_PAST = 8
"""Lines of an earlier conversation that are shown again."""


class Follow(Message):
    """Show all events from now on."""


class Say(Request[bool]):
    """Send a message to the assistant; the reply is whether it was answered, once the answer is shown."""

    text: str


class Cancel(Request[bool]):
    """Ask an operation to stop."""

    operation: str


class Move(Request[bool]):
    """Move a queued operation to a place in the queue."""

    operation: str
    place: int


class Decide(Request[bool]):
    """Answer for an operation: approve, reject, edit or resolve it."""

    verb: str
    operation: str
    text: str = ""
    """The reason, the arguments as JSON, or the outcome."""


class Stop(Request[bool]):
    """Stop the answer that is being written."""


class Settle(Request[bool]):
    """Wait until every operation has ended, and every event is shown."""


class ChatAgent(Agent):
    """Passes commands to a conversation and its events to a screen. Only this object shows events on the screen."""

    def __init__(self) -> None:
        self._screen = self.context.use(Screen)  # type: ignore[type-abstract] # it is what was provided as one
        self._shown = 0
        self._news = asyncio.Event()

    @on(interleave=True)
    async def follow(self, message: Follow) -> None:  # noqa: ARG002 - it says all by its type
        """Show the earlier messages, and then every event."""
        chat, screen = self._screen.chat, self._screen
        try:
            await chat.ready()
        except CoterieError as error:
            screen.problem(str(error))
            return
        while True:
            start = chat.last_event
            past, operations = chat.transcript()[-_PAST:], chat.operations(unfinished=True)
            if chat.last_event == start:
                break
        screen.begin(past, operations)
        self._tell(start)
        try:
            async for event in chat.events(after=start):
                screen.show(event)
                self._tell(event.id)
        except CoterieError as error:
            screen.problem(str(error))

    @on(interleave=True)
    async def say(self, message: Say) -> bool:
        """Send a message, and return whether it was answered."""
        try:
            ended = await self._screen.chat.send(message.text).end()
        except CoterieError as error:
            self._screen.problem(str(error))
            return False
        await self._until(ended.id)
        return True

    @on(interleave=True)
    async def cancel(self, message: Cancel) -> bool:
        """Ask an operation to stop."""
        try:
            answer = await self._screen.chat.cancel(message.operation)
        except CoterieError as error:
            self._screen.problem(str(error))
            return False
        self._screen.line(f"  {message.operation}: {answer}", style="class:note")
        return True

    @on(interleave=True)
    async def move(self, message: Move) -> bool:
        """Move an operation in the queue."""
        try:
            queue = await self._screen.chat.reorder(message.operation, message.place)
        except CoterieError as error:
            self._screen.problem(str(error))
            return False
        self._screen.line(f"  the queue: {', '.join(each.id for each in queue)}", style="class:note")
        return True

    @on(interleave=True)
    async def decide(self, message: Decide) -> bool:
        """Approve, reject, edit or resolve an operation."""
        chat, name, text = self._screen.chat, message.operation, message.text
        try:
            match message.verb:
                case "approve":
                    after = await chat.approve(name)
                case "reject":
                    after = await chat.reject(name, text)
                case "edit":
                    after = await chat.edit(name, json.loads(text))
                case _:
                    outcome, _, detail = text.partition(" ")
                    after = await chat.resolve(name, outcome, detail)
        except ValueError as error:
            self._screen.problem(str(error) if isinstance(error, CoterieError) else f"the arguments are not JSON: {error}")
            return False
        except CoterieError as error:
            self._screen.problem(str(error))
            return False
        self._screen.line(step(after), style="class:note")
        return True

    @on(interleave=True)
    async def stop(self, message: Stop) -> bool:  # noqa: ARG002 - as above
        """Stop the answer that is being written."""
        try:
            return await self._screen.chat.stop()
        except CoterieError as error:
            self._screen.problem(str(error))
            return False

    @on(interleave=True)
    async def settle(self, message: Settle) -> bool:  # noqa: ARG002 - as above
        """Wait for the end of all work."""
        try:
            await self._screen.chat.settle()
        except CoterieError as error:
            self._screen.problem(str(error))
            return False
        await self._until(self._screen.chat.last_event)
        return True

    def _tell(self, event: int) -> None:
        self._shown = max(self._shown, event)
        self._news.set()

    async def _until(self, event: int) -> None:
        while self._shown < event:
            self._news.clear()
            await self._news.wait()
