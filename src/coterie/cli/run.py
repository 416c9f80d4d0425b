"""`coterie run`: run a scenario and show its progress."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.connecting import WAIT, ClusterAddress, ClusterNodes, ClusterWait, TokenFile, connected
from coterie.cli.console import PORT, KeepOpen, Port, ReadOnly, Wanted, keep_open_of, shown
from coterie.cli.display import Display, end_with, show_summary
from coterie.cli.interrupting import going_on
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.errors import InvalidSetting
from coterie.orchestrator import Scenario, run_scenario, write_report
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.report import require_report
from coterie.orchestrator.running import Host, OnLive
from coterie.orchestrator.scenario import parse_scenario, read_scenario

MaxRequests = Annotated[
    int | None, typer.Option(min=0, help="What the model may be asked in all, in requests.", show_default=False)
]
MaxDollars = Annotated[
    float | None, typer.Option(min=0, help="What the model may cost in all, in US dollars.", show_default=False)
]


class DispatcherName(StrEnum):
    """The dispatcher of the agents."""

    leased = "leased"
    dedicated = "dedicated"


class ModeName(StrEnum):
    """The modes of a simulation."""

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
    pace: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to pause after each step, to look on.")] = 0.0,
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
    console: Wanted = False,
    console_port: Port = PORT,
    read_only: ReadOnly = False,
    keep_open: KeepOpen = None,
    paused: Annotated[bool, typer.Option("--paused", help="Wait for the console before the first step.")] = False,
    trace: TraceTo = None,
    trace_content: TraceContent = False,
    cluster: ClusterAddress = None,
    nodes: ClusterNodes = 1,
    wait: ClusterWait = WAIT,
    token_file: TokenFile = None,
) -> None:
    """Run a scenario, show its progress, and leave a folder with its record.

    With --cluster, its agents are on all nodes of a cluster. The outcome is the same.
    """
    if paused and not console:
        raise InvalidSetting("--paused", "", "the option --console, from which the run goes on")
    if report:
        require_report("a report, which --no-report leaves out,")
    text = read_scenario(scenario)
    parsed = parse_scenario(text, scenario).with_model(
        {"name": model, "base_url": base_url, "max_requests": max_requests, "max_dollars": max_dollars}
    )
    given = {"seed": seed, "mode": mode, "dispatcher": dispatcher, "threads": threads, "delay": delay}
    changed = parsed.changed({key: value.value if isinstance(value, StrEnum) else value for key, value in given.items()})
    changed.kind.check(changed.parameters, changed.folder)
    with (
        traced(trace, content=trace_content),
        connected(cluster, token_file, "run", nodes=nodes, wait=wait) as connection,
        RunFolder.create(out, changed.parameters.name, text) as folder,
    ):
        page, keep = f"/runs/{folder.path.resolve().name}", keep_open_of(keep_open)
        with shown(console, [out], page, port=console_port, read_only=read_only, keep_open=keep) as show:
            run_in(
                folder,
                changed,
                resume=False,
                pace=pace,
                quiet=quiet,
                report=report,
                paused=paused,
                on_live=lambda part: show(part, folder.path.resolve().name),
                host=host_of(connection),
            )


def host_of(cluster: Any) -> Host | None:
    """Return what hosts the agents of a run on a cluster; None without one."""
    if cluster is None:
        return None
    from coterie.orchestrator.hosting import host_on  # noqa: PLC0415 - only with the extra

    return host_on(cluster)


def run_in(
    folder: RunFolder,
    scenario: Scenario,
    *,
    resume: bool,
    pace: float = 0.0,
    quiet: bool,
    report: bool,
    paused: bool = False,
    on_live: OnLive = lambda _: None,
    host: Host | None = None,
) -> None:
    """Run or resume a scenario in its folder, and show its end. Ends the process with status 1 for an unexpected outcome."""
    console = Console(highlight=False)
    with going_on(folder):
        with Display(console, scenario, pace=pace, quiet=quiet) as display:
            record = run_scenario(scenario, folder, display.step, resume=resume, paused=paused, on_live=on_live, host=host)
        summary = scenario.kind.summarise(scenario.parameters, record)
        show_summary(console, summary)
        console.print(f"digest {record.digest}", soft_wrap=True)
        console.print(f"The record is in {escape(str(folder.path))}", soft_wrap=True)
        if folder.unlogged:
            console.print(f"{folder.unlogged} lines of its log could not be written", soft_wrap=True)
        if report:
            console.print(f"The report is {escape(str(write_report(folder.path)))}", soft_wrap=True)
    end_with(console, summary)
