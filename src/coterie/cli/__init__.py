"""The command line, one module a command. Needs the extra ``cli``."""

from __future__ import annotations

import gc
import sys

from coterie.errors import ExtraMissing

__all__ = ["main"]


def main() -> None:
    """Run the command line. Without the extra ``cli``, print a line that names it and end the process with status 1."""
    # A tenth of the time of loading would go into collections that find nothing; the command line ends this.
    gc.disable()
    try:
        from coterie.cli.application import main as run  # noqa: PLC0415 - it needs the extra `cli`
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"prompt_toolkit", "rich", "typer"}:
            raise
        sys.exit(f"error: {ExtraMissing('the command line', 'cli')}")
    run()
