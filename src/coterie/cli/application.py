"""The command `coterie`, and the options of all its subcommands."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.chat.command import chat
from coterie.cli.console import console
from coterie.cli.dead_letters import dead_letters
from coterie.cli.doctor import doctor
from coterie.cli.many import compare_modes, sweep
from coterie.cli.node import keys, node
from coterie.cli.output import narrow_columns, prepare_streams
from coterie.cli.run import run
from coterie.cli.runs import export, replay_run, resume_run, show_run
from coterie.cli.serve import serve
from coterie.errors import CoterieError, describe

_TRACEBACK = "COTERIE_TRACEBACK"

_COLUMNS = narrow_columns()

application = typer.Typer(
    help="Many agents at once, each on its own thread.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if _COLUMNS is None else None,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _COLUMNS},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"coterie {version('coterie')}")
        raise typer.Exit


@application.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


application.command("run")(run)
application.command("chat")(chat)
application.command("serve")(serve)
application.command("console")(console)
application.command("doctor")(doctor)
application.command("resume")(resume_run)
application.command("replay")(replay_run)
application.command("show")(show_run)
application.command("export")(export)
application.command("compare")(compare_modes)
application.command("sweep")(sweep)
application.command("dead-letters")(dead_letters)
application.command("node")(node)
application.command("keys")(keys)


def main() -> None:
    """Run the command line. Ends the process with status 0 for success, 1 for failure, 2 for wrong use, 130 if interrupted.

    An error is one line. With the environment variable COTERIE_TRACEBACK, an unexpected error shows its traceback.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    prepare_streams()
    # The folder of a run has the log; between the lines of a command it would only confuse.
    logging.getLogger("coterie").addHandler(logging.NullHandler())
    try:
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
