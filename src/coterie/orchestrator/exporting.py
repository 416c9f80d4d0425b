"""Export a run: its collected data, steps, events and costs as tables, the whole as JSON, and a readable record in Markdown."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.orchestrator.folder import LOG, SCENARIO
from coterie.orchestrator.kind import RunContext, RunRecord, SimulationRun, Summary, Table
from coterie.orchestrator.modelling import replayed_model
from coterie.orchestrator.running import load_run, log_of, write_tables
from coterie.orchestrator.scenario import Scenario
from coterie.tables import DataTable
from coterie.tables.table import FORMATS
from coterie.world import EventLog, World, thaw

WHOLE = ("json-run", "markdown")
"""The formats of the whole run: ``run.json`` and ``run.md``."""


def export_run(path: Path, target: Path | None = None, formats: Iterable[str] = ("parquet", "csv")) -> list[Path]:
    """Write the tables of the run in the folder `path` to `target`, by default its folder ``export``; return the paths.

    `formats` are those of `DataTable.write`, and ``markdown`` and ``json-run`` for the whole run. The run may be unfinished,
    or be running in another process. Raises `RunUnknown`, `InvalidSetting`, `TableError`, `CollectFailed`, and `ExtraMissing`
    for Parquet without pyarrow.
    """
    chosen = list(dict.fromkeys(formats))
    wrong = [each for each in chosen if each not in (*FORMATS, *WHOLE)]
    if wrong or not chosen:
        raise InvalidSetting("export.formats", ",".join(wrong), f"one or more of {', '.join((*FORMATS, *WHOLE))}")
    scenario, record = load_run(path)
    folder = target if target is not None else path / "export"
    summary = scenario.kind.summarise(scenario.parameters, record)
    tables = tables_of(scenario, record, path)
    written = write_tables(tables, folder, [each for each in chosen if each in FORMATS]) if set(chosen) & set(FORMATS) else []
    folder.mkdir(parents=True, exist_ok=True)
    if "json-run" in chosen:
        whole = {
            "scenario": msgspec.json.decode((path / SCENARIO).read_bytes()),
            "headline": summary.headline,
            "figures": summary.figures,
            "digest": record.digest,
            "finished": record.finished,
            "tables": {name: table.to_list() for name, table in tables.items()},
        }
        (folder / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
        written.append(folder / "run.json")
    if "markdown" in chosen:
        (folder / "run.md").write_text(story_of(scenario, record, summary, tables), encoding="utf-8")
        written.append(folder / "run.md")
        for minutes in sorted((path / "meetings").glob("*.md")):
            written.append(Path(shutil.copy(minutes, folder / f"meeting-{minutes.name}")))
    return written


def tables_of(scenario: Scenario, record: RunRecord, path: Path) -> dict[str, DataTable]:
    """Return the tables of a run: ``round``, ``agent``, ``type`` and ``stage`` as collected, ``steps``, ``events`` and others."""
    tables: dict[str, DataTable] = {}
    if (path / LOG).is_file():
        with replayed_model(scenario.model, path) as model, ExitStack() as resources:
            log, _ = log_of(path, resources)
            context = RunContext(path, lambda _: World(), lambda _: None, model=model, resources=resources)
            body = scenario.kind.build(scenario.parameters, context)
            if isinstance(body, SimulationRun):
                tables.update(body.simulation.collected(log))
            tables["events"] = _events(log)
    steps = [msgspec.to_builtins(step) for step in record.steps]
    if steps:
        tables["steps"] = DataTable.of_rows([step if isinstance(step, dict) else {"value": step} for step in steps])
    if record.costs:
        tables["costs"] = DataTable.of_rows(record.costs)
    if record.timeline:
        tables["timeline"] = DataTable.of_rows([msgspec.to_builtins(span) for span in record.timeline])
    tables.update(scenario.kind.tables(scenario.parameters, record))
    return tables


def story_of(scenario: Scenario, record: RunRecord, summary: Summary, tables: Mapping[str, DataTable]) -> str:
    """Return a run as a page of Markdown: its figures, its course line by line, and its tables."""
    parameters = scenario.parameters
    parts = [f"# {parameters.name}", parameters.description, f"**{summary.headline}**"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in summary.figures.items()))
    parts += [f"Not as expected: {each}" for each in summary.surprises]
    parts += list(summary.notes)
    lines = summary.lines or tuple(scenario.kind.describe(parameters, step) for step in record.steps)
    parts.append("## Course\n\n" + "\n\n".join(_line(each) for each in lines))
    shown = [*summary.tables, *([summary.history] if summary.history is not None else [])]
    parts += [f"## {table.title}\n\n{_as_data(table).markdown()}" for table in shown]
    parts += [f"## By {name}\n\n{tables[name].markdown()}" for name in ("round", "type", "stage") if name in tables]
    parts.append(f"Kind {parameters.kind}, seed {parameters.seed}, digest `{record.digest}`.")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _line(text: str) -> str:
    speaker, colon, said = text.partition(": ")
    return f"**{speaker}:** {said}" if colon and said and len(speaker) < 60 and "\n" not in speaker else text  # noqa: PLR2004 - a name


def _as_data(table: Table) -> DataTable:
    columns: Sequence[Sequence[Any]] = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    return DataTable({name: [_plain(cell) for cell in cells] for name, cells in zip(table.columns, columns, strict=True)})


def _plain(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, bool | int | float | str) else str(getattr(cell, "note", "") or cell)


def _events(log: EventLog) -> DataTable:
    rows = (
        {
            "sequence": event.sequence,
            "round": event.round,
            "stage": event.stage,
            "agent": event.agent,
            "kind": event.kind,
            "action": event.action,
            "reason": event.reason,
            "time": event.time,
            "changes": _json(event.changes),
            "removed": _json(list(event.removed)),
            "details": _json(event.details),
        }
        for event in log.events()
    )
    return DataTable.of_rows(rows)


def _json(value: Any) -> str | None:
    return msgspec.json.encode(thaw(value)).decode() if value else None
