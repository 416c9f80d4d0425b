"""A survey: questions, the types of their answers, and the table of answers."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from pydantic import Field, create_model

from coterie.errors import InvalidSetting, ModelError, ModelHalted, describe
from coterie.kernel import check_instance
from coterie.messaging import Request
from coterie.models import Model, ModelRequest, TextMessage, extract
from coterie.personas.mind.profile_answers import first_named, first_number
from coterie.runtime import Agent, on
from coterie.tables import DataTable

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_YES = re.compile(r"\b(?:yes|yeah|sure|certainly|of course|i do|i would|always)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|never|don't|wouldn't|hardly)\b", re.IGNORECASE)


AnswerKind: TypeAlias = Literal["text", "integer", "number", "boolean", "choice"]
"""The type of an answer."""
_KINDS = get_args(AnswerKind)

Value = str | int | float | bool | None
"""An answer as a value; None where there is none."""


class Question(msgspec.Struct, frozen=True):
    """A question to several personas, and the type of its answers. Raises `InvalidSetting`."""

    name: str
    """The name of its column, in lower case."""
    text: str
    kind: AnswerKind = "text"
    options: tuple[str, ...] = ()
    """The possible answers of a choice."""
    least: float | None = None
    """The minimum of a number. Scenario files use this name."""
    most: float | None = None
    """The maximum of a number."""

    def __post_init__(self) -> None:
        check_instance("Question.name", self.name, str, "text")
        if not _NAME.fullmatch(self.name):
            raise InvalidSetting("Question.name", self.name, "a word in lower case, such as 'price'")
        check_instance("Question.text", self.text, str, "text")
        if not self.text.strip():
            raise InvalidSetting("Question.text", self.text, "a question")
        if self.kind not in _KINDS:
            raise InvalidSetting("Question.kind", self.kind, f"one of {', '.join(_KINDS)}")
        if (self.kind == "choice") is not bool(self.options) or len(set(self.options)) < len(self.options):
            raise InvalidSetting("Question.options", self.options, "different texts for a choice, and none for any other kind")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise InvalidSetting("Question.least", self.least, f"at most {self.most:g}, which is `most`")

    @property
    def wording(self) -> str:
        """The text of the question, with the possible answers. Part of recorded prompts."""
        hint = {
            "choice": f"Answer with one of: {', '.join(self.options)}.",
            "boolean": "Answer yes or no, and why.",
            "integer": f"Answer with a whole number{self._range()}, and why.",
            "number": f"Answer with a number{self._range()}, and why.",
        }.get(self.kind, "")
        return f"{self.text} ({hint})" if hint else self.text

    @property
    def type(self) -> Any:
        """The Python type of an answer, for a model."""
        bounds = Field(ge=self.least, le=self.most)
        kinds: dict[AnswerKind, Any] = {
            "text": str,
            "boolean": bool,
            "integer": Annotated[int, bounds],
            "number": Annotated[float, bounds],
        }
        return Literal[self.options] if self.kind == "choice" else kinds[self.kind]

    def read(self, text: str) -> Value:
        """Return the value of an answer, found by rules; None without one.

        A choice is the first option in the text; a number the first one in range; yes or no the first such word.
        """
        if not text.strip():
            return None
        if self.kind == "choice":
            return first_named(text, self.options)
        if self.kind == "boolean":
            yes, no = _YES.search(text), _NO.search(text)
            return None if not (yes or no) else no is None or (yes is not None and yes.start() < no.start())
        if self.kind in ("integer", "number"):
            return self._number(text)
        return text.strip()

    def _number(self, text: str) -> int | float | None:
        whole = self.kind == "integer"
        found = first_number(text, lambda value: self._fits(value) and (not whole or value == int(value)))
        return int(found) if whole and found is not None else found

    def _fits(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def _range(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:g} to {self.most:g}"
        return (
            f" of at least {self.least:g}"
            if self.least is not None
            else f" of at most {self.most:g}"
            if self.most is not None
            else ""
        )


def checked_questions(where: str, questions: Iterable[Question]) -> tuple[Question, ...]:
    """Return questions, at least one, each with a name of its own. Raises `InvalidSetting`."""
    asked = tuple(questions)
    for question in asked:
        check_instance(f"{where}.questions", question, Question, "a Question: Question(name, text)")
    if not asked or len({question.name for question in asked}) < len(asked):
        raise InvalidSetting(f"{where}.questions", asked, "at least one question, and a name of its own for each")
    return asked


_TOLD = """\
You turn what a person said in an interview into values. Take only what they said; where they gave no answer, give null."""


class SurveyAnswer(msgspec.Struct, frozen=True):
    """The answer of one persona to one question, as text."""

    persona: str
    question: str
    """The question's name."""
    text: str
    """The speech of the persona; empty without an answer."""


class SurveyRow(msgspec.Struct, frozen=True):
    """The answers of one persona to all questions, as values."""

    persona: str
    values: dict[str, Value]
    """By the names of the questions; None without a valid answer."""
    by: str = "rules"
    """The source of the values: "rules" or "model"."""
    reason: str = ""
    """The error of the model, if rules had to replace it."""
    weight: float = 1.0
    """The number of people that the persona stands for, relative to the others."""


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
        """Return the table as plain values, a dict for each persona."""
        return [{"persona": row.persona, **row.values, "extracted_by": row.by} for row in self.rows]

    def column(self, name: str) -> dict[str, Value]:
        """Return the answers to one question by persona."""
        return {row.persona: row.values.get(name) for row in self.rows}

    def weighted(self, weights: Mapping[str, float]) -> AnswerTable:
        """Return the table with weights, by persona; others keep theirs."""
        rows = [msgspec.structs.replace(row, weight=weights.get(row.persona, row.weight)) for row in self.rows]
        return AnswerTable(self.questions, tuple(rows))

    def shares(self, name: str) -> dict[str, float]:
        """Return the weighted shares of the answers to one question, largest first, among the personas that have answered."""
        sums: dict[str, float] = {}
        for row in self.rows:
            if (value := row.values.get(name)) is not None:
                sums[str(value)] = sums.get(str(value), 0.0) + row.weight
        total = sum(sums.values()) or 1.0
        return {key: value / total for key, value in sorted(sums.items(), key=lambda item: (-item[1], item[0]))}

    def mean(self, name: str) -> float | None:
        """Return the weighted mean of the numbers in answer to one question; yes counts as 1. None without any."""
        found = [(row.values.get(name), row.weight) for row in self.rows]
        numbers = [(value, weight) for value, weight in found if isinstance(value, int | float)]
        total = sum(weight for _, weight in numbers)
        return sum(value * weight for value, weight in numbers) / total if total else None

    def table(self) -> DataTable:
        """Return the answers as a table: a row for each persona, with its weight."""
        names = [question.name for question in self.questions]
        rows = [
            {
                "persona": row.persona,
                **{name: row.values.get(name) for name in names},
                "weight": row.weight,
                "extracted_by": row.by,
            }
            for row in self.rows
        ]
        return DataTable.of_rows(rows, ["persona", *names, "weight", "extracted_by"])

    def frame(self) -> Any:
        """Return the answers as a frame of polars, or of pandas; see `DataTable.frame`."""
        return self.table().frame()

    def counts(self, name: str) -> dict[str, int]:
        """Return the number of personas by answer to one question, most frequent first; an empty text counts missing answers."""
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

    If the model fails, or its values do not fit, rules find the values, and the row holds the reason. Raises
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
    """Makes tables of answers by the model that `get` returns: a function, because arguments of an agent are copied."""

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
    # A spreadsheet would read such a text as a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
