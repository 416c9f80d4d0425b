"""The parameters of a scenario of an interview."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from coterie.errors import InvalidSetting, ScenarioError
from coterie.orchestrator import ModelSettings, ScenarioParameters
from coterie.orchestrator.kind import ScenarioPart
from coterie.personas import Fragment, Persona, Question, load_personas
from coterie.personas.survey import AnswerKind
from coterie.runtime import Dedicated, Dispatcher, Leased

_Texts = Annotated[tuple[str, ...], Field(strict=False)]


class QuestionSettings(ScenarioPart):
    """One question."""

    name: str
    """The name of its column, in small letters."""
    text: str
    kind: AnswerKind = "text"
    options: _Texts = ()
    """The options of a choice."""
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> QuestionSettings:
        try:
            self.question()
        except InvalidSetting as error:
            raise ValueError(str(error)) from error
        return self

    def question(self) -> Question:
        """Return the question."""
        return Question(**self.model_dump())


class SpokenRule(ScenarioPart):
    """A scripted answer to a question."""

    persona: str = ""
    """The persona; without it, all."""
    when: str
    """A pattern that is searched in the question."""
    say: _Texts
    """The possible answers; the seed chooses one."""

    @field_validator("when")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
        return value

    @field_validator("say")
    @classmethod
    def _says_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(text.strip() for text in value):
            raise ValueError("there is nothing to say; give at least one text")
        return value


class InterviewRuntime(ScenarioPart):
    """The runtime settings. They change the cost of a run, not its result."""

    dispatcher: Literal["leased", "dedicated"] = "leased"
    turn_limit: float = Field(default=300.0, gt=0)
    """Seconds for an answer; a later one is missed."""


class InterviewScenario(ScenarioParameters):
    """A whole scenario file of an interview."""

    topic: str = Field(min_length=1)
    personas: str = "personas"
    """The folder of the personas' files, beside the scenario file."""
    fragments: dict[str, _Texts] = Field(default={})
    """Files of fragments to merge, by the persona's name; those of "all" into every persona."""
    questions: Annotated[tuple[QuestionSettings, ...], Field(strict=False)]
    rules: Annotated[tuple[SpokenRule, ...], Field(strict=False)] = ()
    """The scripted answers; without a match a persona answers from its file."""
    model: ModelSettings | None = None
    """The language model that answers for the personas; without it rules answer."""
    runtime: InterviewRuntime = InterviewRuntime()

    @model_validator(mode="after")
    def _names_differ(self) -> InterviewScenario:
        if not self.questions:
            raise ValueError("questions: there is none; add at least one [[questions]]")
        for name, count in Counter(question.name for question in self.questions).items():
            if count > 1:
                raise ValueError(f"questions: the name {name!r} is used {count} times; give every question a name of its own")
        return self

    def dispatcher(self) -> Dispatcher:
        """Return the dispatcher of the agents."""
        return Dedicated() if self.runtime.dispatcher == "dedicated" else Leased()

    def load_personas(self, beside: Path) -> list[Persona]:
        """Return the personas, with their fragments merged in.

        Raises `InvalidPersona`, `FragmentConflict`, and `ScenarioError` for a rule or a fragment of an unknown persona.
        """
        personas = load_personas(beside / self.personas)
        known = {persona.name for persona in personas}
        named = [(f"fragments.{name!r}", name) for name in self.fragments if name != "all"]
        named += [(f"rules[{index}].persona", rule.persona) for index, rule in enumerate(self.rules) if rule.persona]
        there = f"the folder {self.personas!r} has {', '.join(sorted(known))}"
        if faults := [f"{where}: there is no persona {name!r}; {there}" for where, name in named if name not in known]:
            raise ScenarioError(self.name, faults)
        merged = []
        for persona in personas:
            paths = (*self.fragments.get("all", ()), *self.fragments.get(persona.name, ()))
            merged.append(persona.merge(*(Fragment.load(beside / path) for path in paths)))
        return merged
