"""Interviews at the command line."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.interrupting import going_on
from coterie.cli.kinds.kind import Kind, Watching, told_unfinished, told_where
from coterie.orchestrator import (
    InterviewOutcome,
    InterviewScenario,
    RunFolder,
    recorded_interview,
    replay_interview,
    run_interview,
)

_MOST_SHOWN = 60


class InterviewKind(Kind[InterviewScenario]):
    """Personas who are asked questions in a focus group."""

    called = "interviews"

    def check(self, scenario: InterviewScenario, beside: Path) -> None:
        """See that the personas' files are there, and make sense."""
        scenario.load_personas(beside)

    def run(self, console: Console, scenario: InterviewScenario, folder: RunFolder, watching: Watching) -> None:
        """Hold the interview; where a run goes on, what a model has answered already is not asked again."""

        def show(line: str) -> None:
            if not watching.quiet:
                console.print(escape(line), soft_wrap=True)

        with going_on(folder):
            outcome = run_interview(scenario, folder, watching.beside, show)
            _show(console, scenario, outcome)
            told_where(console, folder, outcome.digest, watching)

    def replay(self, console: Console, scenario: InterviewScenario, run: Path) -> None:
        """Hold the interview again."""
        outcome = replay_interview(scenario, run)
        lines = len(outcome.group.transcript.lines)
        console.print(f"{lines} lines, each as recorded; digest {outcome.digest}", soft_wrap=True)

    def show(self, console: Console, scenario: InterviewScenario, run: Path) -> None:
        """Show what was said, and the answers."""
        outcome = recorded_interview(run)
        if outcome is None:
            told_unfinished(console, run)
            return
        for line in outcome.group.transcript.lines:
            console.print(escape(f"{line.speaker}: {line.text}"), soft_wrap=True)
        _show(console, scenario, outcome)
        console.print(f"digest {outcome.digest}", soft_wrap=True)


def _show(console: Console, scenario: InterviewScenario, outcome: InterviewOutcome) -> None:
    table = Table(title=f"{escape(scenario.name)}: {len(outcome.table.rows)} personas", title_justify="left")
    table.add_column("persona")
    for question in outcome.table.questions:
        table.add_column(question.name)
    for row in outcome.table.rows:
        values = (row.values.get(question.name) for question in outcome.table.questions)
        table.add_row(escape(row.persona), *(_cell(value) for value in values))
    console.print(table)
    for persona, count in outcome.fallbacks.items():
        console.print(f"{escape(persona)}: rules decided {count} times where the model failed", soft_wrap=True)
    if outcome.costs:
        total = outcome.costs[-1]
        tokens = f"{total['input_tokens']} + {total['output_tokens']} tokens"
        console.print(f"{total['requests']} requests, {tokens}, {total['dollars']:.4f} dollars", soft_wrap=True)


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
    text = " ".join(str(value).split())
    return escape(text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "...")
