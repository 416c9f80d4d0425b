"""`coterie doctor --network`: which node of a network reaches which, and why not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.output import print_table


def diagnose_network(file: Path, node: str | None, *, as_json: bool) -> None:
    """Print the table, with the reasons. Ends with status 1 if a node does not reach another, or their clocks differ."""
    from coterie.network import Topology, diagnose  # noqa: PLC0415 - only with the extra

    reaches = diagnose(Topology.load(file), node)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in reaches], indent=2))
    else:
        table = Table(title="who reaches whom", title_justify="left")
        for column in ("from", "to", "", "reason"):
            table.add_column(column)
        for each in reaches:
            well = "[green]reached[/]" if each.reached else "[bold red]not reached[/]"
            table.add_row(escape(each.source), escape(each.target), well, escape(each.detail))
        print_table(Console(highlight=False), table)
    if not all(each.reached and not each.detail for each in reaches):
        raise typer.Exit(1)
