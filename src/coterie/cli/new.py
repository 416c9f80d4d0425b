"""`coterie new`: a first model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.orchestrator import new_scenario


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the model, such as my-model.", show_default=False)],
    folder: Annotated[Path, typer.Option("--in", help="The folder in which the model gets a folder of its own.")] = Path(),
) -> None:
    """Write a first model, a scenario and a test, to be changed into your own."""
    files = new_scenario(name, folder)
    for path in files:
        typer.echo(path)
    typer.echo(f"run it with: coterie run {files[1]}")
    typer.echo(f"test it with: python -m pytest {files[2]}")
