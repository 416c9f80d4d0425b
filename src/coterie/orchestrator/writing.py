"""The report of a run, written into its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coterie.errors import RunFolderFailed
from coterie.orchestrator.run import outcome_of, recorded
from coterie.rounds import Span

REPORT = "report.html"


def write_report(path: Path) -> Path:
    """Write the report of the run in the folder `path`, and return where it is. Raises `RunUnknown`, `RunFolderFailed`."""
    # Half a second of imports that nobody else needs.
    from coterie.orchestrator.report.page import page  # noqa: PLC0415

    run = recorded(path)
    timeline = path / "timeline.json"
    spans = msgspec.json.decode(timeline.read_bytes(), type=list[Span]) if timeline.is_file() else []
    text = page(run.scenario, run.months, outcome_of(run.scenario, run.months, run.digest), spans)
    temporary = path / f".{REPORT}.part"
    try:
        temporary.write_text(text, encoding="utf-8")
        return temporary.replace(path / REPORT)
    except OSError as error:
        raise RunFolderFailed(path, error) from error
