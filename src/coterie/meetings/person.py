"""A person as a member: an agent that turns lines into contributions, and events into lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from coterie.errors import CoterieError
from coterie.meetings.meeting import Meeting
from coterie.meetings.messages import (
    Accept,
    Decline,
    Invitation,
    MeetingCancelled,
    MeetingEnded,
    MeetingNews,
    Welcome,
    YourTurn,
)
from coterie.meetings.minutes import entry_line
from coterie.meetings.service import Meetings
from coterie.meetings.state.events import LogEntry
from coterie.meetings.state.records import Utterance
from coterie.runtime import Agent, on

HELP = (
    "say something, or: /to NAME TEXT, /hand, /pass, /react SIGN (to what was said last) or /react NUMBER SIGN, "
    "/vote MOTION CHOICE (a motion with _ for spaces), /who, /leave REASON, /close OUTCOME"
)

_WORDS = {"/to": 2, "/react": 1, "/vote": 2}
"""The number of words that each command needs."""
_INPUT_ENDED = "the person has left the console"


class Person(Agent):
    """An agent that speaks for a person at a console.

    `read` returns the next line, and an empty text at the end; it may block. `write` takes a line. By default they use
    the standard streams of this process. If the person `decides`, it is asked about each invitation; otherwise the agent
    accepts. Lines go in order to the meeting that the person joined last; before there is one, they wait for it. At the
    end of the input the person leaves, and the agent declines later invitations.
    """

    def __init__(
        self,
        read: Callable[[], str] | None = None,
        write: Callable[[str], object] | None = None,
        *,
        decides: bool = False,
    ) -> None:
        self._read = read if read is not None else sys.stdin.readline
        self._write = write if write is not None else _print
        self._decides = decides
        self._meeting = ""
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        """Lines for the meeting; an empty text is the end."""
        self._questions: list[asyncio.Future[str]] = []
        """Invitations that wait for an answer, the oldest first."""
        self._answers: list[str] = []
        """Answers that were typed before the question."""
        self._input_ended = False
        self._joined = asyncio.Event()

    def on_start(self) -> None:
        """Start reading."""
        self.context.create_task(self._listen())
        self.context.create_task(self._take_part())

    @on(interleave=True)
    async def invited(self, message: Invitation) -> Accept | Decline | bool:
        """Return the reply to an invitation: acceptance, or the person's answer."""
        self._say(f"{message.caller} invites you to {message.topic!r}")
        if self._input_ended:
            return Decline(_INPUT_ENDED)
        if self._decides:
            self._say("/accept, or /decline REASON?")
            answer = self._answers.pop(0) if self._answers else await self._ask()
            if not answer.startswith("/accept"):
                return Decline(answer.removeprefix("/decline").strip() or Decline().reason)
        return Accept(person=True)

    async def _ask(self) -> str:
        question: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._questions.append(question)
        try:
            return await question
        finally:
            self._questions.remove(question)

    @on
    def welcome(self, message: Welcome) -> None:
        """Show the members and the earlier utterances."""
        self._meeting = message.meeting
        self._say(f"You are in {message.topic!r} with {', '.join(message.members)}")
        for utterance in message.history:
            self._show(utterance)
        self._joined.set()

    @on
    def hear(self, message: Utterance) -> None:
        """Show an utterance."""
        self._show(message)

    @on
    def turn(self, message: YourTurn) -> None:
        """Show that the person has the floor."""
        limit = f" ({message.limit:g} s)" if message.limit is not None else ""
        self._say(f"It is your turn{limit}")

    @on
    def news(self, message: MeetingNews) -> None:
        """Show an event other than an utterance."""
        line = entry_line(LogEntry(0, message.sequence, 0.0, message.by, "", message.event))
        if line:
            self._say(line.replace("**", ""))

    @on
    def ended(self, message: MeetingEnded) -> None:
        """Show that the meeting is over, and its outcome."""
        outcome = "" if message.outcome is None else f", outcome: {_shown(message.outcome)}"
        self._say(f"The meeting {message.topic!r} is over: {message.reason}{outcome}")
        if message.meeting == self._meeting:
            self._joined.clear()

    @on
    def cancelled(self, message: MeetingCancelled) -> None:
        """Show that a meeting is not held."""
        self._say(f"The meeting {message.topic!r} is not held: {message.reason}")

    async def _listen(self) -> None:
        """Read lines. Answers to invitations do not wait behind lines for a meeting."""
        while line := await self.context.run_blocking(self._read):
            text = line.strip()
            if self._decides and text.split(" ")[0] in ("/accept", "/decline"):
                self._answer(text)
            elif text:
                self._lines.put_nowait(text)
        self._lines.put_nowait("")
        for question in self._questions:
            if not question.done():
                question.set_result(_INPUT_ENDED)

    def _answer(self, text: str) -> None:
        question = next((each for each in self._questions if not each.done()), None)
        if question is not None:
            question.set_result(text)
        else:
            self._answers.append(text)

    async def _take_part(self) -> None:
        while text := await self._lines.get():
            await self._joined.wait()
            await self._run_line(text)
        self._input_ended = True
        if self._joined.is_set():
            await self._run_line("/leave")

    async def _run_line(self, text: str) -> None:
        try:
            meeting = self.context.use(Meetings).meeting(self._meeting)
            await self._do(meeting, text)
        except CoterieError as error:
            self._say(f"! {error}")

    async def _do(self, meeting: Meeting, text: str) -> None:
        command, _, rest = text.partition(" ")
        first, _, more = rest.strip().partition(" ")
        commands: dict[str, Callable[[], Awaitable[Any]]] = {
            "/to": lambda: meeting.say(more, to=first),
            "/hand": meeting.raise_hand,
            "/pass": meeting.pass_turn,
            "/react": lambda: _react(meeting, first, more),
            "/vote": lambda: meeting.vote(first.replace("_", " "), more),
            "/leave": lambda: meeting.leave(rest),
            "/close": lambda: meeting.close(rest or None),
        }
        if command == "/who":
            self._say(", ".join(meeting.members))
        elif len(rest.split()) < _WORDS.get(command, 0):
            self._say(HELP)
        elif command in commands:
            await commands[command]()
        elif command.startswith("/"):
            self._say(HELP)
        else:
            await meeting.say(text)

    def _show(self, utterance: Utterance) -> None:
        whom = f" (to {', '.join(utterance.to)})" if utterance.to else ""
        self._say(f"{utterance.by}{whom}: {_shown(utterance.content)}")

    def _say(self, line: str) -> None:
        self._write(line)


async def _react(meeting: Meeting, first: str, more: str) -> int:
    if first.isdecimal() and more:
        return await meeting.react(int(first), more)
    last = meeting.state.last_utterance
    return await meeting.react(last.sequence if last is not None else 1, f"{first} {more}".strip())


def _shown(content: Any) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
