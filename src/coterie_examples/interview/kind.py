"""The interview as a kind of scenario: personas answer questions in a focus group."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator import RunContext, RunRecord, ScenarioKind, Summary, Table
from coterie.tables import DataTable
from coterie_examples.interview.run import InterviewOutcome, digest_of, hold_interview, markdown_of
from coterie_examples.interview.scenario import InterviewScenario

PERSONAS = "personas"
"""The folder of the personas as they were, in the folder of the run."""
RESULT = "interview.json"
"""The whole outcome, in the folder of the run."""
_MAX_SHOWN = 60


class InterviewKind(ScenarioKind[InterviewScenario]):
    """A focus group; a step is a line of its transcript. A resumed run repeats no request to a model."""

    parameters = InterviewScenario
    step_name = "line"
    step_event = "said"

    def check(self, parameters: InterviewScenario, folder: Path) -> None:
        """Check the personas' files."""
        parameters.load_personas(folder)

    def copy_files(self, parameters: InterviewScenario, folder: Path, target: Path) -> InterviewScenario:
        """Copy the personas with their fragments merged in, so that the run folder is complete."""
        kept = target / PERSONAS
        kept.mkdir(exist_ok=True)
        for number, persona in enumerate(parameters.load_personas(folder), 1):
            slug = re.sub(r"[^A-Za-z0-9]+", "-", persona.name).strip("-").lower() or "persona"
            persona.save(kept / f"{number:03d}-{slug}.agent.json")
        return parameters.model_copy(update={"personas": PERSONAS, "fragments": {}})

    def build(self, parameters: InterviewScenario, context: RunContext) -> Callable[[], InterviewOutcome]:
        """Return a function that holds the interview."""

        def hold() -> InterviewOutcome:
            personas = parameters.load_personas(context.folder)
            group, table, fallbacks = hold_interview(parameters, personas, folder=context.meetings, model=context.model)
            for line in group.transcript.lines:
                context.step({"speaker": line.speaker, "text": line.text})
            return InterviewOutcome(group, table, fallbacks, [], digest_of(group, table))

        return hold

    def load_result(self, path: Path) -> InterviewOutcome:
        """Return the outcome of a run. Raises `RunUnknown`."""
        file = path / RESULT
        if not file.is_file():
            raise RunUnknown(path, f"it has no {RESULT}, so it did not come to its end; resume it first")
        try:
            return msgspec.json.decode(file.read_bytes(), type=InterviewOutcome)
        except msgspec.DecodeError as error:
            raise RunUnknown(path, f"its {RESULT} makes no sense, or is of a later version") from error

    def digest(self, steps: Sequence[Any], result: InterviewOutcome) -> str:  # noqa: ARG002 - the result has its own
        """Return the digest of the transcript and the answers."""
        return result.digest

    def write_files(self, parameters: InterviewScenario, record: RunRecord, path: Path) -> None:
        """Write the outcome, the answers and the transcript."""
        outcome: InterviewOutcome = record.result
        whole = msgspec.structs.replace(outcome, costs=list(record.costs))
        (path / RESULT).write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
        answers = msgspec.json.encode(outcome.table.to_list())
        (path / "answers.json").write_bytes(msgspec.json.format(answers, indent=2) + b"\n")
        (path / "answers.csv").write_text(outcome.table.csv(), encoding="utf-8")
        (path / "transcript.md").write_text(markdown_of(parameters, outcome.group), encoding="utf-8")

    def tables(self, parameters: InterviewScenario, record: RunRecord) -> dict[str, DataTable]:  # noqa: ARG002 - of the result
        """Return the answers."""
        outcome: InterviewOutcome | None = record.result
        return {} if outcome is None else {"answers": DataTable.of_rows(outcome.table.to_list())}

    def describe(self, parameters: InterviewScenario, step: Any) -> str:  # noqa: ARG002 - of the line alone
        """Return a line of the transcript."""
        return f"{step['speaker']}: {step['text']}"

    def summarise(self, parameters: InterviewScenario, record: RunRecord) -> Summary:
        """Return the answers and the transcript."""
        lines = tuple(self.describe(parameters, step) for step in record.steps)
        outcome: InterviewOutcome | None = record.result
        if outcome is None:
            return Summary("not finished", lines=lines)
        questions = outcome.table.questions
        rows = tuple(
            (row.persona, *(_cell(row.values.get(question.name)) for question in questions)) for row in outcome.table.rows
        )
        notes = [
            f"{persona}: rules decided {count} times where the model failed" for persona, count in outcome.fallbacks.items()
        ]
        if record.costs:
            total = record.costs[-1]
            tokens = f"{total['input_tokens']} + {total['output_tokens']} tokens"
            notes.append(f"{total['requests']} requests, {tokens}, {total['dollars']:.4f} dollars")
        return Summary(
            f"{len(rows)} personas",
            figures={"personas": len(rows), "lines": len(lines), "fallbacks": sum(outcome.fallbacks.values())},
            tables=(Table(f"{parameters.name}: {len(rows)} personas", ("persona", *(each.name for each in questions)), rows),),
            lines=lines,
            notes=tuple(notes),
        )

    def page(self, parameters: InterviewScenario, record: RunRecord, path: Path) -> str:
        """Return the report, with the answers and the transcript."""
        from coterie_examples.interview.report import page_of_interview  # noqa: PLC0415 - it needs the extra `report`

        outcome = msgspec.structs.replace(record.result, costs=list(record.costs))
        return page_of_interview(parameters, outcome, parameters.load_personas(path))


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
