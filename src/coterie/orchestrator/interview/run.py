"""One run of an interview, recorded in its folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import HandlerFailed, ReplayDiverged, RunUnknown
from coterie.meetings import Meetings
from coterie.orchestrator.folder import MEETINGS, SCENARIO, RunFolder
from coterie.orchestrator.interview.scenario import InterviewScenario, SpokenRule
from coterie.orchestrator.modelling import Halting, costs_of, recorded_model, replayed_model
from coterie.personas import (
    AnswerTable,
    FocusGroup,
    Mind,
    ModelMind,
    Persona,
    Population,
    Rule,
    RuleMind,
    SurveyRow,
    answer_from_profile,
    heard,
    one_of,
    say,
    table_by_rules,
    when,
)
from coterie.runtime import Runtime

PERSONAS = "personas"
"""The folder of the personas as they were, in the folder of the run."""
RESULT = "interview.json"
"""All that came of it, in the folder of the run."""
INTERVIEWER = "Interviewer"


class InterviewOutcome(msgspec.Struct, frozen=True):
    """How an interview ended."""

    group: FocusGroup
    table: AnswerTable
    fallbacks: dict[str, int]
    """How often rules decided where a model was to, by persona."""
    costs: list[dict[str, Any]]
    """What it has cost, by agent and in all; empty without a model."""
    digest: str
    """Of the transcript and the table."""


def hold_interview(
    scenario: InterviewScenario, personas: Sequence[Persona], *, folder: Path | None = None, model: Halting | None = None
) -> tuple[FocusGroup, AnswerTable, dict[str, int]]:
    """Hold an interview, and return what was said, the table of answers, and how often rules had to decide for a model.

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
                # What stops a run is known by its own name, wherever in the run it was.
                model.check()
                raise
        else:
            table = table_by_rules(questions, group.answers)
        fallbacks = {each.name: each.fetch_state().result().counts.fallbacks for each in cast}
    return group, table, {name: count for name, count in fallbacks.items() if count}


def run_interview(
    scenario: InterviewScenario, folder: RunFolder, beside: Path, show: Callable[[str], object]
) -> InterviewOutcome:
    """Hold an interview, and record it in a folder; what a model has answered there already is not asked again.

    `beside` is where the scenario's paths begin; `show` is told of each line. Raises `InvalidPersona`, `ModelError`.
    """
    personas = scenario.load_personas(beside)
    kept = folder.path / PERSONAS
    kept.mkdir(exist_ok=True)
    for number, persona in enumerate(personas, 1):
        slug = re.sub(r"[^A-Za-z0-9]+", "-", persona.name).strip("-").lower() or "persona"
        persona.save(kept / f"{number:03d}-{slug}.agent.json")
    # The folder holds all that the run needs, so that it can be done again there.
    whole = scenario.model_copy(update={"personas": PERSONAS, "fragments": {}})
    folder.write(SCENARIO, whole.model_dump())
    folder.event(
        "run started", scenario=scenario.name, kind=scenario.kind, seed=scenario.seed, personas=[each.name for each in personas]
    )
    with recorded_model(scenario.model, folder) as model:
        group, table, fallbacks = hold_interview(scenario, personas, folder=_minutes(folder), model=model)
    costs = costs_of(folder.path)
    outcome = InterviewOutcome(group, table, fallbacks, costs, _digest(group, table))
    for line in group.transcript.lines:
        folder.event("said", speaker=line.speaker, text=line.text)
        show(f"{line.speaker}: {line.text}")
    folder.event("run ended", digest=outcome.digest, ended=group.ended, missed=group.missed, fallbacks=fallbacks)
    folder.write(RESULT, outcome)
    folder.write("answers.json", table.to_list())
    folder.write_text("answers.csv", table.csv())
    folder.write_text("transcript.md", _markdown(scenario, group))
    folder.write("metrics.json", {"lines": len(group.transcript.lines), "fallbacks": fallbacks, "costs": costs[-1:]})
    return outcome


def recorded_interview(path: Path) -> InterviewOutcome | None:
    """Return what the folder of a run tells; None if the run did not come to its end. Raises `RunUnknown`."""
    file = path / RESULT
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=InterviewOutcome)
    except (OSError, msgspec.DecodeError) as error:
        raise RunUnknown(path, f"its {RESULT} makes no sense, or is of a later version") from error


def replay_interview(scenario: InterviewScenario, path: Path) -> InterviewOutcome:
    """Do a recorded interview again, without any network, and see that it comes to the same digest.

    Raises `ReplayDiverged`, `RunUnknown` for a run that did not come to its end, and `RecordingMissing`.
    """
    recorded = recorded_interview(path)
    if recorded is None:
        raise RunUnknown(path, "it did not come to its end, so there is nothing to compare with; resume it first")
    with replayed_model(scenario.model, path) as model:
        group, table, fallbacks = hold_interview(scenario, scenario.load_personas(path), model=model)
    digest = _digest(group, table)
    if digest != recorded.digest:
        raise ReplayDiverged(_differing(recorded.group, group), recorded.digest, digest)
    return InterviewOutcome(group, table, fallbacks, [], digest)


def _mind(scenario: InterviewScenario, persona: Persona, model: Halting | None) -> Mind:
    rules: list[Rule] = [_spoken(rule) for rule in scenario.rules if rule.persona in ("", persona.name)]
    by_rules = RuleMind(*rules, answer_from_profile)
    if model is None or scenario.model is None:
        return by_rules
    fallback = by_rules if scenario.model.fallback else None
    return ModelMind(model, fallback=fallback, temperature=scenario.model.temperature)


def _spoken(rule: SpokenRule) -> Rule:
    return when(heard(rule.when), one_of(*map(say, rule.say)))


def _minutes(folder: RunFolder) -> Path:
    """Return where the minutes go, without those of a run that was interrupted."""
    minutes = folder.path / MEETINGS
    if minutes.is_dir():
        for old in minutes.iterdir():
            old.unlink()
    return minutes


def _digest(group: FocusGroup, table: AnswerTable) -> str:
    lines = [(line.speaker, line.text) for line in group.transcript.lines]
    rows = [(row.persona, sorted(row.values.items())) for row in table.rows]
    return hashlib.blake2b(msgspec.json.encode((lines, rows)), digest_size=32).hexdigest()


def _differing(one: FocusGroup, other: FocusGroup) -> int:
    """Return the number of the first line that differs."""
    pairs = zip(one.transcript.lines, other.transcript.lines, strict=False)
    return next(
        (ours.number for ours, theirs in pairs if ours != theirs),
        min(len(one.transcript.lines), len(other.transcript.lines)) + 1,
    )


def _markdown(scenario: InterviewScenario, group: FocusGroup) -> str:
    lines = [f"# {scenario.name}: {group.topic}", ""]
    for line in group.transcript.lines:
        text = line.text.replace("\n", "\n> ")
        lines += [f"**{line.speaker}**", "", f"> {text}", ""]
    lines.append(f"Ended: {group.ended}.")
    lines += [f"- {each}" for each in group.missed]
    return "\n".join(lines) + "\n"


__all__ = ["InterviewOutcome", "SurveyRow", "hold_interview", "recorded_interview", "replay_interview", "run_interview"]
