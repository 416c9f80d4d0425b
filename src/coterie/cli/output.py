"""Output that fits the encoding and the width of the terminal."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_Formatter: Any = typer.Context.formatter_class
"""The class that formats help. Typer may have its own copy of click."""
NARROW = 72
"""Columns below which help is printed without boxes."""


def prepare_streams() -> None:
    """Replace characters that the encoding of a standard stream lacks, instead of failing on them.

    Input in an ASCII locale is read as UTF-8, which a terminal in such a locale sends all the same.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        ascii_only = sys.stdin.encoding.lower().replace("_", "-") in ("ascii", "us-ascii", "ansi-x3.4-1968", "646")
        sys.stdin.reconfigure(encoding="utf-8" if ascii_only else sys.stdin.encoding, errors="replace")


def bar(full: int, empty: int) -> tuple[str, str]:
    """Return the full and the empty part of a bar, in characters that standard output can show."""
    return drawn("█", "#") * full, drawn("░", "-") * empty


def drawn(character: str, substitute: str) -> str:
    """Return a character, or its ASCII substitute if the encoding of standard output lacks it."""
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return substitute
    return character


def say(console: Console, text: str) -> None:
    """Print a text; on a narrow terminal, break its lines between words, elsewhere leave them whole."""
    console.print(text, soft_wrap=not (console.is_terminal and console.width < NARROW))


def print_table(console: Console, table: Table) -> None:
    """Print a table; where the console is too narrow for its words, print each row as lines of name and value."""
    wide = console.options.update(width=10_000)
    if Measurement.get(console, wide, table).minimum <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(table.title)
    columns = [list(column.cells) for column in table.columns]
    for row in zip(*columns, strict=True):
        for column, cell in zip(table.columns, row, strict=True):
            if table.show_header and column.header:
                console.print(f"{column.header}: {cell}")
            else:
                console.print(cell)
        console.print()


class NarrowHelp(_Formatter):  # type: ignore[misc] # the class is known at run time only
    """Prints each option on lines of its own, with its text below it."""

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:  # noqa: ARG002 - as click calls it
        """Write names with their descriptions."""
        for name, text in rows:
            for line, indent in ((name, " " * self.current_indent), (text, " " * (self.current_indent + 2))):
                written = textwrap.fill(
                    line,
                    max(self.width, len(indent) + 1),
                    initial_indent=indent,
                    subsequent_indent=indent,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                self.write(f"{written}\n" if written else "")


def narrow_columns() -> int | None:
    """Return the columns of the terminal if it is narrow, and print help for it; else return None."""
    columns = shutil.get_terminal_size().columns
    if columns >= NARROW:
        return None
    for kind in typer.Context.__mro__:
        if "formatter_class" in vars(kind):
            kind.formatter_class = NarrowHelp  # type: ignore[attr-defined] # the line above has checked it
    return columns
