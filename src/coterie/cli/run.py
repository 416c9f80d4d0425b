"""`coterie run`: run a scenario, and watch it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.display import Display, result_table
from coterie.cli.games import changed_game, finish_games
from coterie.cli.interrupting import interruptible
from coterie.orchestrator import (
    GameScenario,
    Outcome,
    RunFolder,
    Scenario,
    check_commons,
    parse_scenario,
    read_scenario,
    run_scenario,
)
from coterie.orchestrator.writing import write_report


class DispatcherName(StrEnum):
    """What gives agents their threads."""

    leased = "leased"
    dedicated = "dedicated"


class ModeName(StrEnum):
    """Where agents wait for each other."""

    lockstep = "lockstep"
    sync_points = "sync_points"
    pipelines = "pipelines"
    tokens = "tokens"


def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a TOML file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Where the folder of the run is made.")] = Path("runs"),
    seed: Annotated[int | None, typer.Option(help="Use this seed instead of the scenario's.", show_default=False)] = None,
    mode: Annotated[
        ModeName | None, typer.Option(help="Where agents wait, instead of the scenario's.", show_default=False)
    ] = None,
    dispatcher: Annotated[
        DispatcherName | None,
        typer.Option(help="What gives agents their threads, instead of the scenario's.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=8192, help="Threads at most that leased agents share.", show_default=False)
    ] = None,
    delay: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Seconds that agents take at most, by chance.", show_default=False)
    ] = None,
    pace: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to pause after each month, to look on.")] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")] = False,
    report: Annotated[bool, typer.Option(help="Write a report with plots.")] = True,
) -> None:
    """Run a scenario, show its progress, and leave a folder with what happened."""
    text = read_scenario(scenario)
    parsed = parse_scenario(text, scenario)
    console = Console(highlight=False)
    chosen = {"dispatcher": dispatcher, "threads": threads, "delay": delay}
    if isinstance(parsed, GameScenario):
        game = changed_game(parsed, {"seed": seed, "mode": mode}, chosen)
        with RunFolder.create(out, game.name, text) as folder:
            finish_games(console, game, folder, quiet=quiet, report=report)
        return
    loaded = changed(parsed, {"seed": seed, "mode": mode}, chosen)
    with RunFolder.create(out, loaded.name, text) as folder:
        finish(console, loaded, folder, resume=False, pace=pace, quiet=quiet, report=report)


def changed(scenario: Scenario, settings: dict[str, Any], runtime: dict[str, Any]) -> Scenario:
    """Return a scenario with some settings changed, as far as they are given."""
    data = scenario.model_dump()
    data.update({key: _plain(value) for key, value in settings.items() if value is not None})
    data["runtime"].update({key: _plain(value) for key, value in runtime.items() if value is not None})
    return check_commons(data)


def finish(
    console: Console, scenario: Scenario, folder: RunFolder, *, resume: bool, pace: float, quiet: bool, report: bool
) -> None:
    """Run a scenario to its end, or go on with it, and show how it ended. Ends the process with 1 for a surprise."""
    left = f"what happened until then is in {folder.path}; go on with: coterie resume {folder.path}"
    with interruptible(lambda: left):
        with Display(console, scenario, pace=pace, quiet=quiet) as display:
            outcome = run_scenario(scenario, folder, display, resume=resume)
        console.print(result_table(scenario, outcome))
        console.print(f"digest {outcome.digest}", soft_wrap=True)
        console.print(f"What happened is in {escape(str(folder.path))}", soft_wrap=True)
        if report:
            console.print(f"The report is {escape(str(write_report(folder.path)))}", soft_wrap=True)
    _end(console, outcome)


def _end(console: Console, outcome: Outcome) -> None:
    if outcome.surprises:
        for surprise in outcome.surprises:
            console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
        raise typer.Exit(1)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value
