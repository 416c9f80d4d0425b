"""A focus group: a meeting in which an interviewer asks, and personas answer in turn and hear one another."""

from __future__ import annotations

import asyncio

import msgspec

from coterie.errors import MeetingError, describe
from coterie.meetings import MeetingEnded, MeetingNews, Meetings, RoundRobin, Utterance, YourTurn
from coterie.messaging import Request
from coterie.personas.agent.messages import Dialogue, DialogueLine
from coterie.personas.profile.persona import as_text
from coterie.personas.survey import Question, SurveyAnswer
from coterie.runtime import Agent, AgentRef, on


class FocusGroup(msgspec.Struct, frozen=True):
    """The answers and the dialogue of a focus group."""

    topic: str
    answers: tuple[SurveyAnswer, ...]
    """One for each persona and question, in the order of the questions; without text where nothing was said."""
    transcript: Dialogue
    ended: str
    """The reason of its end."""
    missed: tuple[str, ...] = ()
    """The personas that missed a turn or left, with reasons."""


class HoldFocusGroup(Request[FocusGroup]):
    """Asks an interviewer to hold a focus group."""

    topic: str
    participants: tuple[AgentRef, ...]
    questions: tuple[Question, ...]
    turn_limit: float | None = 120.0
    """Seconds that a persona has for an answer; after that its turn is missed."""


class Interviewer(Agent):
    """Asks questions in a meeting, and records the answers. Needs `Meetings`; spawn one for each focus group."""

    def __init__(self) -> None:
        self._questions: tuple[Question, ...] = ()
        self._asked = 0
        self._over: asyncio.Future[str] | None = None
        self._lines: list[DialogueLine] = []
        self._answers: dict[tuple[str, str], str] = {}
        self._missed: list[str] = []

    @on(interleave=True, raises=MeetingError)
    async def hold(self, message: HoldFocusGroup) -> FocusGroup:
        """Run a focus group to its end, and return its result."""
        self._questions, self._asked = message.questions, 0
        self._over = asyncio.get_running_loop().create_future()
        me = self.context.self_ref.name
        names = [each.name for each in message.participants]
        await self.context.use(Meetings).call(
            message.topic,
            invite=message.participants,
            floor=RoundRobin(order=(me, *names), turn_limit=message.turn_limit),
            closes_with_caller=True,
        )
        ended = await self._over
        answers = [
            SurveyAnswer(name, question.name, self._answers.get((name, question.name), ""))
            for question in message.questions
            for name in names
        ]
        transcript = Dialogue(tuple(self._lines), ended)
        return FocusGroup(message.topic, tuple(answers), transcript, ended, tuple(self._missed))

    @on(interleave=True)
    async def ask_next(self, message: YourTurn) -> None:
        """Ask the next question, or close the meeting when all were asked."""
        meeting = self.context.use(Meetings).meeting(message.meeting)
        try:
            if self._asked >= len(self._questions):
                await meeting.close("all questions were asked")
                return
            question = self._questions[self._asked]
            self._asked += 1
            self._note(self.context.self_ref.name, question.wording)
            await meeting.say(question.wording)
        except MeetingError as error:
            self._end(describe(error))

    @on
    def note_answer(self, message: Utterance) -> None:
        """Record the answer of a persona to the latest question."""
        if message.by == self.context.self_ref.name or not self._asked:
            return
        text = as_text(message.content)
        self._note(message.by, text)
        key = message.by, self._questions[self._asked - 1].name
        self._answers[key] = f"{self._answers[key]}\n{text}" if key in self._answers else text

    @on
    def note_news(self, message: MeetingNews) -> None:
        """Record a missed turn, or a member that left."""
        kind = type(message.event).__name__
        if kind in ("TurnMissed", "Left", "Crashed"):
            self._missed.append(f"{getattr(message.event, 'member', message.by)}: {getattr(message.event, 'reason', kind)}")

    @on
    def end(self, message: MeetingEnded) -> None:
        """End the focus group with the meeting."""
        self._end(as_text(message.outcome) or message.reason)

    def _note(self, speaker: str, text: str) -> None:
        self._lines.append(DialogueLine(speaker, text, "", len(self._lines) + 1))

    def _end(self, reason: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)
