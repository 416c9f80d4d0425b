"""A survey: each persona answers all questions by itself, and does not hear the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from coterie.errors import DeliveryError, HandlerFailed, ModelError, ModelHalted, describe
from coterie.messaging import Request
from coterie.models import Model
from coterie.personas.agent.messages import Listen, StartEpisode
from coterie.personas.agent.state import Episode
from coterie.personas.survey import AnswerTable, Question, SurveyAnswer, table_by_model, table_by_rules
from coterie.runtime import Agent, AgentRef, on


class Survey(msgspec.Struct, frozen=True):
    """The result of a survey."""

    answers: tuple[SurveyAnswer, ...]
    """One for each persona and question, by persona; without text where nothing was said."""
    table: AnswerTable
    """The answers as values, a row for each persona, with its weight."""
    missed: tuple[str, ...] = ()
    """The personas that failed at a question, with reasons."""


class HoldSurvey(Request[Survey]):
    """Asks a surveyor to hold a survey."""

    participants: tuple[AgentRef, ...]
    questions: tuple[Question, ...]
    weights: Mapping[str, float] = msgspec.field(default_factory=dict)
    """By the names of agents; others have the weight 1."""
    at_once: int = 100
    """Personas that are asked at the same time."""
    label: str = "survey"
    """The name of the survey in recordings."""


class Surveyor(Agent):
    """Asks many personas at once, each of them one question after another.

    `get` returns the model that extracts values, or None for rules: a function, because arguments of an agent are copied.
    """

    def __init__(self, get: Callable[[], Model | None]) -> None:
        self._get = get

    @on(interleave=True, raises=ModelError)
    async def hold(self, message: HoldSurvey) -> Survey:
        """Run a survey, and return its result. Raises `ModelHalted`; other failures are in the result."""
        slots = asyncio.Semaphore(message.at_once)
        missed: list[str] = []

        async def ask(participant: AgentRef) -> list[SurveyAnswer]:
            async with slots:
                return await _ask(participant, message, missed)

        tasks = [self.context.create_task(ask(each)) for each in message.participants]
        try:
            answers = [answer for several in await asyncio.gather(*tasks) for answer in several]
        finally:
            for task in tasks:
                task.cancel()
        model = self._get()
        table = (
            table_by_rules(message.questions, answers)
            if model is None
            else await table_by_model(model, message.questions, answers)
        )
        return Survey(tuple(answers), table.weighted(message.weights), tuple(sorted(missed)))


async def _ask(participant: AgentRef, message: HoldSurvey, missed: list[str]) -> list[SurveyAnswer]:
    answers = []
    for question in message.questions:
        stimulus = Listen(question.wording).stimulus()
        episode = StartEpisode(None, f"{message.label}/{question.name}", silent=True, stimuli=(stimulus,))
        text = ""
        try:
            lived: Episode = await participant.ask(episode, timeout=None)
            text = lived.text
        except DeliveryError as error:
            cause = error.__cause__ if isinstance(error, HandlerFailed) and error.__cause__ is not None else error
            if isinstance(cause, ModelHalted):
                raise cause from error
            missed.append(f"{participant.name}, {question.name}: {describe(cause)}")
        answers.append(SurveyAnswer(participant.name, question.name, text))
    return answers
