"""`coterie resume`, `coterie replay`, `coterie show` and `coterie export`: commands on the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.connecting import WAIT, ClusterAddress, ClusterNodes, ClusterWait, TokenFile, connected
from coterie.cli.display import show_end, show_summary
from coterie.cli.interrupting import interruptible
from coterie.cli.run import MaxDollars, MaxRequests, host_of, run_in
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.orchestrator import load_run
from coterie.orchestrator.exporting import export_run
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.report import require_report
from coterie.orchestrator.running import replay_scenario, scenario_of_run

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]


def resume_run(
    run: Folder,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")] = False,
    report: Annotated[bool, typer.Option(help="Write a report with plots.")] = True,
    max_requests: MaxRequests = None,
    max_dollars: MaxDollars = None,
    trace: TraceTo = None,
    trace_content: TraceContent = False,
    cluster: ClusterAddress = None,
    nodes: ClusterNodes = 1,
    wait: ClusterWait = WAIT,
    token_file: TokenFile = None,
) -> None:
    """Go on with a run that was interrupted or killed, from its last settled step, to its end.

    Requests that a model has answered already are not repeated. A larger budget continues a run that had spent its own.
    """
    if report:
        require_report("a report, which --no-report leaves out,")
    scenario = scenario_of_run(run).with_model({"max_requests": max_requests, "max_dollars": max_dollars})
    with (
        traced(trace, content=trace_content),
        connected(cluster, token_file, "resume", nodes=nodes, wait=wait) as connection,
        RunFolder.open(run) as folder,
    ):
        run_in(folder, scenario, resume=True, quiet=quiet, report=report, host=host_of(connection))


def replay_run(run: Folder) -> None:
    """Repeat a run from its record, and check that it ends with the same digest."""
    console = Console(highlight=False)
    with interruptible(lambda: "the run is as it was"):
        scenario, recorded = load_run(run)
        record = replay_scenario(
            scenario, recorded, run, lambda line: console.print(f"{escape(line)}, as recorded", soft_wrap=True)
        )
        show_end(console, record, scenario.kind.step_name)


def show_run(run: Folder) -> None:
    """Show the record of a run."""
    console = Console(highlight=False)
    scenario, record = load_run(run)
    show_summary(console, scenario.kind.summarise(scenario.parameters, record), course=True)
    if record.digest:
        console.print(f"digest {record.digest}", soft_wrap=True)
    if record.running:
        console.print("it is running in another process; these are the settled steps", soft_wrap=True)
    elif not record.finished:
        console.print(f"not finished; go on with: coterie resume {escape(str(run))}", soft_wrap=True)


def export(
    run: Folder,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the files.", show_default="the folder export of the run")
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format", metavar="A,B,C", help="parquet, arrow, csv, json, jsonl; markdown and json-run for the whole run."
        ),
    ] = "parquet,csv",
) -> None:
    """Export the data of a run: what it collected, its steps, events and costs, one file for each table."""
    console = Console(highlight=False)
    for path in export_run(run, out, [each.strip() for each in formats.split(",") if each.strip()]):
        console.print(escape(str(path)), soft_wrap=True)
