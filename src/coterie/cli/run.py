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
from coterie.cli.interrupting import going_on
from coterie.cli.interviews import changed_interview, finish_interview
from coterie.errors import ScenarioError
from coterie.orchestrator import (
    AnyScenario,
    GameScenario,
    InterviewScenario,
    Outcome,
    RunFolder,
    Scenario,
    check_commons,
    check_scenario,
    parse_scenario,
    read_scenario,
    run_scenario,
)
from coterie.orchestrator.writing import write_report

MaxRequests = Annotated[
    int | None, typer.Option(min=0, help="What the model may be asked in all, in requests.", show_default=False)
]
MaxDollars = Annotated[
    float | None, typer.Option(min=0, help="What the model may cost in all, in US dollars.", show_default=False)
]


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
    model: Annotated[
        str | None,
        typer.Option(help="Have this language model decide, such as openai:gpt-5-mini or ollama:qwen3.", show_default=False),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where an OpenAI-compatible server for the model is.", show_default=False)
    ] = None,
    max_requests: MaxRequests = None,
    max_dollars: MaxDollars = None,
) -> None:
    """Run a scenario, show its progress, and leave a folder with what happened."""
    text = read_scenario(scenario)
    parsed = with_model(
        parse_scenario(text, scenario),
        {"name": model, "base_url": base_url, "max_requests": max_requests, "max_dollars": max_dollars},
    )
    console = Console(highlight=False)
    chosen = {"dispatcher": dispatcher, "threads": threads, "delay": delay}
    if isinstance(parsed, GameScenario):
        game = changed_game(parsed, {"seed": seed, "mode": mode}, chosen)
        with RunFolder.create(out, game.name, text) as folder:
            finish_games(console, game, folder, quiet=quiet, report=report)
        return
    if isinstance(parsed, InterviewScenario):
        interview = changed_interview(parsed, {"seed": seed, "mode": mode}, chosen)
        interview.load_personas(scenario.parent)  # what is wrong with them is said before a folder is made
        with RunFolder.create(out, interview.name, text) as folder:
            finish_interview(console, interview, folder, scenario.parent, quiet=quiet, report=report)
        return
    loaded = changed(parsed, {"seed": seed, "mode": mode}, chosen)
    with RunFolder.create(out, loaded.name, text) as folder:
        finish(console, loaded, folder, resume=False, pace=pace, quiet=quiet, report=report)


def with_model(scenario: AnyScenario, settings: dict[str, Any]) -> AnyScenario:
    """Return a scenario with settings of its model changed, as far as they are given. Raises `ScenarioError` without one."""
    given = {key: value for key, value in settings.items() if value is not None}
    if not given:
        return scenario
    if isinstance(scenario, GameScenario):
        raise ScenarioError(scenario.name, ["--model: games are played by rules; leave it out"])
    before = scenario.model.model_dump() if scenario.model is not None else {}
    if "name" not in given and "name" not in before:
        raise ScenarioError(scenario.name, ["model.name: there is no model; say which one with --model"])
    return check_scenario({**scenario.model_dump(), "model": before | given}, scenario.name)


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
    with going_on(folder):
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
