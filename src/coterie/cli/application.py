"""The command `coterie`, and the options of all its subcommands."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.output import narrow_columns, prepare_streams
from coterie.errors import CoterieError, describe

_TRACEBACK = "COTERIE_TRACEBACK"

_COMMANDS = {
    "run": "run:run",
    "new": "new:new",
    "chat": "chat.command:chat",
    "serve": "serve:serve",
    "console": "console:console",
    "mcp": "mcp:mcp",
    "a2a": "a2a:a2a",
    "forget": "forget:forget",
    "doctor": "doctor:doctor",
    "resume": "runs:resume_run",
    "replay": "runs:replay_run",
    "show": "runs:show_run",
    "export": "runs:export",
    "compare": "many:compare_modes",
    "sweep": "many:sweep",
    "dead-letters": "dead_letters:dead_letters",
    "node": "node:node",
    "keys": "node:keys",
    "cluster": "cluster:cluster",
}
"""Each command, and where its function (or, of a group of commands, its `typer.Typer`) is in `coterie.cli`."""


def create_application(command: str | None = None) -> typer.Typer:
    """Return the command line: with one command, whose modules alone are loaded, or with all, for the help and for what is unknown."""
    columns = narrow_columns()
    application = typer.Typer(
        help="Many agents at once, each on its own thread.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if columns is None else None,
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": columns},
    )
    application.callback()(_common)
    names = [command] if command in _COMMANDS else [] if command == "--version" else list(_COMMANDS)
    for name in names:
        module, _, attribute = _COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(f"coterie.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            application.add_typer(found, name=name)
        else:
            application.command(name)(found)
    return application


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - it is slow to import

        typer.echo(f"coterie {version('coterie')}")
        raise typer.Exit


def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Ends the process with status 0 for success, 1 for failure, 2 for wrong use, 130 if interrupted.

    An error is one line. With the environment variable COTERIE_TRACEBACK, an unexpected error shows its traceback.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    prepare_streams()
    # The folder of a run has the log; between the lines of a command it would only confuse.
    logging.getLogger("coterie").addHandler(logging.NullHandler())
    try:
        application = create_application(sys.argv[1] if len(sys.argv) > 1 else None)
        if not gc.isenabled():
            # Classes and functions of modules live as long as the process: no collection needs to look at them.
            gc.freeze()
            gc.enable()
        application()
    except CoterieError as error:
        _say(str(error))
        sys.exit(1)
    except OSError as error:
        _report_output_failure(error)
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted", "")
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        _say(f"{describe(error)} (unexpected; {_TRACEBACK}=1 shows where it happened)")
        sys.exit(1)


def _say(text: str, begin: str = "[bold red]error:[/] ") -> None:
    Console(stderr=True, highlight=False).print(f"{begin}{escape(text)}", soft_wrap=True)


def _report_output_failure(error: OSError) -> None:
    """Report output that could not be written, and keep the interpreter from another attempt at its end."""
    with contextlib.suppress(OSError):
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - rich may be what failed
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal.signal wants it
    # As Ctrl-C, which is handled where it does no harm.
    signal.raise_signal(signal.SIGINT)
