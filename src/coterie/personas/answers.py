"""Answers, and the table of them."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pydantic import create_model

from coterie.errors import ModelError, ModelHalted, describe
from coterie.messaging import Request
from coterie.models import Model, ModelRequest, TextMessage, extract
from coterie.personas.questions import Question, Value
from coterie.runtime import Agent, on

_TOLD = """\
You turn what a person said in an interview into values. Take only what they said; where they gave no answer, give null."""


class SurveyAnswer(msgspec.Struct, frozen=True):
    """The answer of one persona to one question, as text."""

    persona: str
    question: str
    """The question's name."""
    text: str
    """As it was said; empty if nothing was."""


class SurveyRow(msgspec.Struct, frozen=True):
    """The answers of one persona to all questions, as values."""

    persona: str
    values: dict[str, Value]
    """By the questions' names; None where there is no answer that fits."""
    by: str = "rules"
    """What found the values: "rules" or "model"."""
    reason: str = ""
    """Why rules had to, where a model was to."""


class AnswerTable(msgspec.Struct, frozen=True):
    """Answers as typed values, a row for each persona and a column for each question. Immutable."""

    questions: tuple[Question, ...]
    rows: tuple[SurveyRow, ...]

    def csv(self) -> str:
        """Return the table as comma-separated values with a header; a missing answer is an empty cell."""
        text = io.StringIO()
        names = [question.name for question in self.questions]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["persona", *names, "extracted_by"])
        for row in self.rows:
            writer.writerow([_cell(row.persona), *(_cell(row.values.get(name)) for name in names), row.by])
        return text.getvalue()

    def to_list(self) -> list[dict[str, Any]]:
        """Return it as plain values, an object for each persona."""
        return [{"persona": row.persona, **row.values, "extracted_by": row.by} for row in self.rows]

    def column(self, name: str) -> dict[str, Value]:
        """Return the answers to one question by persona."""
        return {row.persona: row.values.get(name) for row in self.rows}

    def counts(self, name: str) -> dict[str, int]:
        """Return how many answered what to one question, the most frequent first; no answer counts as an empty text."""
        counts: dict[str, int] = {}
        for value in self.column(name).values():
            key = "" if value is None else str(value)
            counts[key] = counts.get(key, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def table_by_rules(questions: Sequence[Question], answers: Sequence[SurveyAnswer]) -> AnswerTable:
    """Return the table of answers, with values found by rules."""
    return AnswerTable(tuple(questions), tuple(_row(name, questions, answers) for name in _names(answers)))


async def table_by_model(model: Model, questions: Sequence[Question], answers: Sequence[SurveyAnswer]) -> AnswerTable:
    """Return the table of answers, with values extracted by a model, a request for each persona, all at once.

    Where the model fails, or gives what does not fit, rules find the values, and the row says why. Raises
    `BudgetExhausted`, `GatewayClosed` and `RecordingMissing`.
    """
    kind = answers_type(questions)

    async def row(name: str) -> SurveyRow:
        try:
            found = await extract(model, kind, _request(name, questions, answers))
        except ModelHalted:
            raise
        except ModelError as error:
            return msgspec.structs.replace(_row(name, questions, answers), reason=describe(error))
        return SurveyRow(name, found.model_dump(), "model")

    return AnswerTable(tuple(questions), tuple(await asyncio.gather(*map(row, _names(answers)))))


class Tabulate(Request[AnswerTable]):
    """Asks for the table of answers."""

    questions: tuple[Question, ...]
    answers: tuple[SurveyAnswer, ...]


class Tabulator(Agent):
    """Makes tables of answers by a model, which `get` returns: a function, so that the model itself is not copied."""

    def __init__(self, get: Callable[[], Model]) -> None:
        self._get = get

    @on(interleave=True, raises=ModelError)
    async def tabulate(self, message: Tabulate) -> AnswerTable:
        """Return the table."""
        return await table_by_model(self._get(), message.questions, message.answers)


def answers_type(questions: Sequence[Question]) -> Any:
    """Return the type of all answers of one persona, a pydantic model whose fields may be None."""
    fields: dict[str, Any] = {question.name: (question.type | None, None) for question in questions}
    return create_model("Answers", **fields)


def _request(name: str, questions: Sequence[Question], answers: Sequence[SurveyAnswer]) -> ModelRequest:
    said = {each.question: each.text for each in answers if each.persona == name}
    text = "\n\n".join(f"{each.name}: {each.wording}\nThey said: {said.get(each.name) or '(nothing)'}" for each in questions)
    return ModelRequest(
        instructions=_TOLD, exchanges=(TextMessage("user", text),), agent="extraction", step=f"answers of {name}"
    )


def _row(name: str, questions: Sequence[Question], answers: Sequence[SurveyAnswer]) -> SurveyRow:
    said = {each.question: each.text for each in answers if each.persona == name}
    return SurveyRow(name, {each.name: each.read(said.get(each.name, "")) for each in questions})


def _names(answers: Sequence[SurveyAnswer]) -> list[str]:
    return list(dict.fromkeys(each.persona for each in answers))


def _cell(value: Value) -> Any:
    # A program for tables would take such a text for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
