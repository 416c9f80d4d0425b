"""The report of a run, written into its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coterie.errors import RunFolderFailed, RunUnknown
from coterie.orchestrator.folder import MEETINGS
from coterie.orchestrator.games.run import recorded_games
from coterie.orchestrator.games.scenario import GameScenario
from coterie.orchestrator.interview.run import recorded_interview
from coterie.orchestrator.interview.scenario import InterviewScenario
from coterie.orchestrator.modelling import costs_of
from coterie.orchestrator.run import outcome_of, recorded, scenario_of
from coterie.rounds import Span

REPORT = "report.html"


def write_report(path: Path) -> Path:
    """Write the report of the run in the folder `path`, and return where it is. Raises `RunUnknown`, `RunFolderFailed`."""
    # Half a second of imports that nobody else needs.
    from coterie.orchestrator.report.page import page  # noqa: PLC0415

    scenario = scenario_of(path)
    if isinstance(scenario, GameScenario):
        from coterie.orchestrator.games.report import page_of_games  # noqa: PLC0415 - as above

        return _write(path, page_of_games(scenario, recorded_games(path)[0], path / MEETINGS))
    if isinstance(scenario, InterviewScenario):
        from coterie.orchestrator.interview.report import page_of_interview  # noqa: PLC0415 - as above

        outcome = recorded_interview(path)
        if outcome is None:
            raise RunUnknown(path, "it did not come to its end, so there is nothing to report; resume it first")
        return _write(path, page_of_interview(scenario, outcome, scenario.load_personas(path)))
    run = recorded(path)
    timeline = path / "timeline.json"
    spans = msgspec.json.decode(timeline.read_bytes(), type=list[Span]) if timeline.is_file() else []
    text = page(run.scenario, run.months, outcome_of(run.scenario, run.months, run.digest), spans, costs_of(path))
    return _write(path, text)


def _write(path: Path, text: str) -> Path:
    temporary = path / f".{REPORT}.part"
    try:
        temporary.write_text(text, encoding="utf-8")
        return temporary.replace(path / REPORT)
    except OSError as error:
        raise RunFolderFailed(path, error) from error
