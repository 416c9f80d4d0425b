"""One run of an interview, recorded in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import HandlerFailed
from coterie.meetings import Meetings
from coterie.orchestrator.modelling import StopOnErrorModel
from coterie.personas import (
    FocusGroup,
    Mind,
    ModelMind,
    Persona,
    Population,
    Rule,
    RuleMind,
    answer_from_profile,
    heard,
    one_of,
    say,
    table_by_rules,
    when,
)
from coterie.personas.survey import AnswerTable
from coterie.runtime import Runtime
from coterie_examples.interview.scenario import InterviewScenario, SpokenRule

PERSONAS = "personas"
"""The folder of the personas as they were, in the folder of the run."""
RESULT = "interview.json"
"""The file of the results, in the folder of the run."""
INTERVIEWER = "Interviewer"


class InterviewOutcome(msgspec.Struct, frozen=True):
    """The result of an interview."""

    group: FocusGroup
    table: AnswerTable
    fallbacks: dict[str, int]
    """The number of decisions by rule in place of the model, by persona."""
    costs: list[dict[str, Any]]
    """The costs by agent and in total; empty without a model."""
    digest: str
    """Of the transcript and the table."""


def hold_interview(
    scenario: InterviewScenario,
    personas: Sequence[Persona],
    *,
    folder: Path | None = None,
    model: StopOnErrorModel | None = None,
) -> tuple[FocusGroup, AnswerTable, dict[str, int]]:
    """Hold an interview, and return the dialogue, the table of answers, and the number of fallbacks to rules.

    The same scenario with the same seed, and the same recorded model, ends the same way, whatever the dispatcher and the load.
    Raises the error that stops a run, such as `BudgetExhausted`.
    """
    questions = [each.question() for each in scenario.questions]
    with Runtime("interview", dispatcher=scenario.dispatcher(), ask_timeout=None) as runtime:
        meetings = runtime.provide(Meetings(folder=folder))
        cast = Population(runtime, meetings=meetings, timeout=None)
        for persona in personas:
            cast.add(persona, _mind(scenario, persona, model), seed=scenario.seed)
        limit = scenario.runtime.turn_limit
        group = cast.focus_group(scenario.topic, questions, turn_limit=limit, interviewer=INTERVIEWER).result()
        if model is not None:
            model.check()
            try:
                table = cast.tabulate(questions, group.answers, model).result()
            except HandlerFailed:
                # An error that stops a run is raised unchanged, wherever it occurred.
                model.check()
                raise
        else:
            table = table_by_rules(questions, group.answers)
        fallbacks = {each.name: each.fetch_state().result().counts.fallbacks for each in cast}
    return group, table, {name: count for name, count in fallbacks.items() if count}


def _mind(scenario: InterviewScenario, persona: Persona, model: StopOnErrorModel | None) -> Mind:
    rules: list[Rule] = [_spoken(rule) for rule in scenario.rules if rule.persona in ("", persona.name)]
    by_rules = RuleMind(*rules, answer_from_profile)
    if model is None or scenario.model is None:
        return by_rules
    fallback = by_rules if scenario.model.fallback else None
    return ModelMind(model, fallback=fallback, temperature=scenario.model.temperature)


def _spoken(rule: SpokenRule) -> Rule:
    return when(heard(rule.when), one_of(*map(say, rule.say)))


def digest_of(group: FocusGroup, table: AnswerTable) -> str:
    """Return the digest of a transcript and its table of answers."""
    lines = [(line.speaker, line.text) for line in group.transcript.lines]
    rows = [(row.persona, sorted(row.values.items())) for row in table.rows]
    return hashlib.blake2b(msgspec.json.encode((lines, rows)), digest_size=32).hexdigest()


def markdown_of(scenario: InterviewScenario, group: FocusGroup) -> str:
    """Return a transcript as Markdown."""
    lines = [f"# {scenario.name}: {group.topic}", ""]
    for line in group.transcript.lines:
        text = line.text.replace("\n", "\n> ")
        lines += [f"**{line.speaker}**", "", f"> {text}", ""]
    lines.append(f"Ended: {group.ended}.")
    lines += [f"- {each}" for each in group.missed]
    return "\n".join(lines) + "\n"
