"""What commands show of interviews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.interrupting import going_on
from coterie.errors import ScenarioError
from coterie.orchestrator import (
    InterviewOutcome,
    InterviewScenario,
    RunFolder,
    check_scenario,
    recorded_interview,
    replay_interview,
    run_interview,
)
from coterie.orchestrator.writing import write_report

_MOST_SHOWN = 60


def changed_interview(scenario: InterviewScenario, settings: dict[str, Any], runtime: dict[str, Any]) -> InterviewScenario:
    """Return a scenario with some settings changed, as far as they are given. Raises `ScenarioError` for what it has not."""
    given = {key: value for key, value in (settings | runtime).items() if value is not None}
    for key in given:
        if key not in ("seed", "dispatcher"):
            raise ScenarioError(scenario.name, [f"--{key}: an interview has no such setting; leave it out"])
    data = scenario.model_dump()
    data["seed"] = given.get("seed", data["seed"])
    data["runtime"]["dispatcher"] = str(given.get("dispatcher", data["runtime"]["dispatcher"]))
    changed = check_scenario(data, scenario.name)
    assert isinstance(changed, InterviewScenario)
    return changed


def finish_interview(
    console: Console, scenario: InterviewScenario, folder: RunFolder, beside: Path, *, quiet: bool, report: bool
) -> None:
    """Hold an interview, and show what came of it."""
    with going_on(folder):
        outcome = run_interview(
            scenario, folder, beside, lambda line: None if quiet else console.print(escape(line), soft_wrap=True)
        )
        _show(console, scenario, outcome)
        console.print(f"What happened is in {escape(str(folder.path))}", soft_wrap=True)
        if report:
            console.print(f"The report is {escape(str(write_report(folder.path)))}", soft_wrap=True)


def replay_and_show(console: Console, scenario: InterviewScenario, run: Path) -> None:
    """Do an interview again from its record, and say that it came to the same."""
    outcome = replay_interview(scenario, run)
    console.print(f"{len(outcome.group.transcript.lines)} lines, each as recorded; digest {outcome.digest}", soft_wrap=True)


def show_interview(console: Console, scenario: InterviewScenario, run: Path) -> None:
    """Show what is recorded of an interview."""
    outcome = recorded_interview(run)
    if outcome is None:
        console.print(f"not finished; go on with: coterie resume {escape(str(run))}", soft_wrap=True)
        return
    for line in outcome.group.transcript.lines:
        console.print(escape(f"{line.speaker}: {line.text}"), soft_wrap=True)
    _show(console, scenario, outcome)


def _show(console: Console, scenario: InterviewScenario, outcome: InterviewOutcome) -> None:
    table = Table(title=f"{escape(scenario.name)}: {len(outcome.table.rows)} personas", title_justify="left")
    table.add_column("persona")
    for question in outcome.table.questions:
        table.add_column(question.name)
    for row in outcome.table.rows:
        values = (row.values.get(question.name) for question in outcome.table.questions)
        table.add_row(escape(row.persona), *("" if value is None else escape(str(value)[:_MOST_SHOWN]) for value in values))
    console.print(table)
    for persona, count in outcome.fallbacks.items():
        console.print(f"{escape(persona)}: rules decided {count} times where the model failed", soft_wrap=True)
    if outcome.costs:
        total = outcome.costs[-1]
        tokens = f"{total['input_tokens']} + {total['output_tokens']} tokens"
        console.print(f"{total['requests']} requests, {tokens}, {total['dollars']:.4f} dollars", soft_wrap=True)
    console.print(f"digest {outcome.digest}", soft_wrap=True)
