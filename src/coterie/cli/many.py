"""`coterie compare` and `coterie sweep`: one scenario many times."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coterie.cli.display import rich_table
from coterie.cli.interrupting import interruptible
from coterie.cli.output import print_table
from coterie.errors.orchestrator import RunFolderFailed
from coterie.orchestrator import Table, compare, load_scenario
from coterie.orchestrator.experiments.design import factorial
from coterie.orchestrator.experiments.design import latin_hypercube as hypercube
from coterie.orchestrator.experiments.experiment import Experiment
from coterie.orchestrator.experiments.report import write_experiment_report
from coterie.orchestrator.experiments.statistics import require_scipy
from coterie.orchestrator.report import require_report
from coterie.orchestrator.scenario import parse_scenario, read_scenario
from coterie.orchestrator.sweep import (
    SweepRow,
    jobs,
    means,
    measure_of,
    parse_range,
    parse_seeds,
    parse_settings,
    run_jobs,
    table,
)

ScenarioFile = Annotated[Path, typer.Argument(help="The scenario, a TOML file.", show_default=False)]


def compare_modes(
    scenario: ScenarioFile,
    delay: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Seconds that agents take at most, by chance.", show_default=False)
    ] = None,
) -> None:
    """Run a scenario in all four modes, and show times, waits and digests side by side."""
    loaded = load_scenario(scenario).changed({"delay": delay})
    rows: list[tuple[object, ...]] = []
    columns: tuple[str, ...] = ()
    console = Console(highlight=False)
    waiting = Console(stderr=True, highlight=False)
    compared: list[str] = []

    def left() -> str:
        return f"nothing is kept of a comparison; it had done {', '.join(compared) or 'no mode'}"

    with interruptible(left), waiting.status("comparing") as status:
        for each in compare(loaded, lambda mode: status.update(f"comparing: {mode}")):
            figures = {
                name: value
                for name, value in each.summary.figures.items()
                if not loaded.kind.compared or name in loaded.kind.compared
            }
            columns = ("mode", "seconds", "waited", "forfeits", *figures, "digest")
            times = (f"{each.record.seconds:.3f}", f"{each.record.waited:.3f}")
            rows.append((each.mode, *times, each.record.forfeits, *figures.values(), each.record.digest[:16]))
            compared.append(each.mode)
    print_table(console, rich_table(Table(loaded.parameters.name, columns, tuple(rows))))
    console.print("waited: seconds, over all agents")


def sweep(
    scenario: ScenarioFile,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B,C", help="A key and its values; may be given again.", show_default=False),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="1..20", help="The seeds.")] = "1..5",
    out: Annotated[Path, typer.Option(help="The table; the plot gets its name, and .png.")] = Path("sweep.csv"),
    processes: Annotated[
        int, typer.Option(min=1, max=1024, help="Processes that work at the same time.", show_default="one for each processor")
    ] = os.cpu_count() or 1,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Record each run in this folder, go on with what it has, and write the report there.", show_default=False
        ),
    ] = None,
    latin_hypercube: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Cells of a Latin hypercube over ranges: --set KEY=1.5..2.5.", show_default=False
        ),
    ] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Give each combination seeds of its own.")] = False,
) -> None:
    """Run all combinations of settings and seeds in parallel processes, and write a table and a plot.

    With --folder, also a report with confidence intervals, tests and effect sizes.
    """
    require_report("the plot of a sweep")
    if folder is not None or latin_hypercube is not None or unpaired:
        _run_experiment(
            scenario, set_ or [], seeds, folder or out.with_suffix(""), processes, latin_hypercube, paired=not unpaired
        )
        return
    settings = parse_settings(set_ or [])
    text = read_scenario(scenario)
    todo = jobs(text, scenario, settings, parse_seeds(seeds))
    plot = out.with_suffix(".png")
    if plot == out:
        raise RunFolderFailed(out, OSError("the plot gets that name; name the table otherwise, such as sweep.csv"))
    # Check this before the first run, not after the last.
    _write(out, "")
    console = Console(highlight=False)
    rows: list[SweepRow] = []
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)

    def ended(row: SweepRow) -> None:
        rows.append(row)
        bar.advance(task)

    def kept() -> str:
        _write(out, table(rows))
        return f"what {len(rows)} of {len(todo)} runs came to is in {out}"

    with interruptible(kept), bar:
        task = bar.add_task("runs", total=len(todo))
        rows = run_jobs(todo, processes, ended)
    # Half a second of imports that no other command needs.
    from coterie.orchestrator.plots import table_of_means  # noqa: PLC0415

    _write(out, table(rows))
    measure = measure_of(rows, parse_scenario(text, scenario).kind.measure)
    _write(plot, table_of_means(list(means(rows, measure)), f"{measure}: mean and deviation over the seeds"))
    failed = sum(bool(row.error) for row in rows)
    runs = "1 run is" if len(rows) == 1 else f"{len(rows)} runs are"
    console.print(f"{runs} in {escape(str(out))}, the plot in {escape(str(plot))}", soft_wrap=True)
    if failed:
        console.print(f"[bold red]{failed} did not end[/]; the table says why")
        raise typer.Exit(1)


def _run_experiment(
    scenario: Path, texts: list[str], seeds: str, folder: Path, processes: int, cells: int | None, *, paired: bool
) -> None:
    """Run an experiment in its folder, and write its report."""
    # SciPy is missing before the first run, and not after the last.
    require_scipy()
    if cells is None:
        design = factorial(parse_settings(texts))
    else:
        design = hypercube({key: parse_range(values) for key, values in parse_settings(texts).items()}, cells)
    experiment = Experiment(scenario, design, seeds=parse_seeds(seeds), paired=paired, folder=folder, processes=processes)
    recorded, total = experiment.recorded(), len(design.cells) * len(experiment.seeds)
    console = Console(highlight=False)
    if recorded:
        console.print(f"{recorded} of {total} runs are recorded in {escape(str(folder))}", soft_wrap=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)
    with interruptible(lambda: f"the runs that have ended are in {folder}; the same command goes on"), bar:
        task = bar.add_task("runs", total=total, completed=recorded)
        result = experiment.run(lambda _: bar.advance(task))
    written = write_experiment_report(result)
    console.print(f"{total} runs, the report is {escape(str(written[0]))}", soft_wrap=True)
    for row in result.failed[:10]:
        console.print(f"failed: {escape(str(row.settings))}, seed {row.seed}: {escape(row.error)}", soft_wrap=True)
    if result.failed:
        console.print(f"[bold red]{len(result.failed)} did not end[/]; the same command tries them again")
        raise typer.Exit(1)


def _write(path: Path, content: str | bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise RunFolderFailed(path, error) from error
