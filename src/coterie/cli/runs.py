"""`coterie resume`, `coterie replay` and `coterie show`: what can be done with the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coterie.cli.interrupting import interruptible
from coterie.cli.kinds import Watching, kind_of
from coterie.cli.run import MaxDollars, MaxRequests, with_model
from coterie.orchestrator import RunFolder, scenario_of

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]


def resume_run(
    run: Folder,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")] = False,
    report: Annotated[bool, typer.Option(help="Write a report with plots.")] = True,
    max_requests: MaxRequests = None,
    max_dollars: MaxDollars = None,
) -> None:
    """Go on with a run that was interrupted or killed, from its last settled month, to its end.

    What a model has answered already is not asked again; a larger budget lets a run go on that had spent its own.
    """
    scenario = with_model(scenario_of(run), {"max_requests": max_requests, "max_dollars": max_dollars})
    with RunFolder.open(run) as folder:
        watching = Watching(run, resume=True, quiet=quiet, report=report)
        kind_of(scenario).run(Console(highlight=False), scenario, folder, watching)


def replay_run(run: Folder) -> None:
    """Do a run again from its record, and see that it comes to the digest that it had."""
    scenario = scenario_of(run)
    with interruptible(lambda: "the run is as it was"):
        kind_of(scenario).replay(Console(highlight=False), scenario, run)


def show_run(run: Folder) -> None:
    """Show what is recorded of a run."""
    scenario = scenario_of(run)
    kind_of(scenario).show(Console(highlight=False), scenario, run)
