"""`coterie console`, and the option `--console` of other commands: see and steer runs in the browser."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console as Terminal
from rich.markup import escape

Wanted = Annotated[bool, typer.Option("--console", help="Show a console in the browser, and print the link to it.")]
Port = Annotated[int, typer.Option("--console-port", min=0, max=65535, help="The port of the console; 0 for any that is free.")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="The console shows all and changes nothing.")]
KeepOpen = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="After the run, close the console when no page was open for so many seconds; by default at Ctrl-C on a"
        " terminal, and at once elsewhere.",
        show_default=False,
    ),
]
PORT = 8790


def console(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of runs, or with such folders in them; stores of conversations: a file such as chat.db, or postgresql://…",
            show_default="runs",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = PORT,
    expose: Annotated[
        bool, typer.Option("--expose", help="Let other machines in, with a token of your own in COTERIE_TOKEN.")
    ] = False,
    read_only: ReadOnly = False,
    audit: Annotated[Path | None, typer.Option(help="A file to which each action is appended.", show_default=False)] = None,
) -> None:
    """Show runs and stored conversations in the browser, live and ended, also of other processes, until Ctrl-C."""
    from coterie.console import Console, ConsoleOptions  # noqa: PLC0415 - only with the extra
    from coterie.conversation import StoredConversations  # noqa: PLC0415 - it takes a while to import

    places = runs or ["runs"]
    stores = [each for each in places if "://" in each or each.endswith(".db") or Path(each).is_file()]
    options = ConsoleOptions(host=host, port=port, expose=expose, read_only=read_only, audit=audit)
    with contextlib.ExitStack() as resources:
        opened = [(resources.enter_context(StoredConversations(each)), _name_of(each)) for each in stores]
        served = resources.enter_context(Console([each for each in places if each not in stores], options=options))
        for store, name in opened:
            served.show(store, name)
        tell(served.link("/conversations" if len(stores) == len(places) else "/"))
        # Ctrl-C ends it; that is its usual end.
        with contextlib.suppress(KeyboardInterrupt):
            served.wait()


def _name_of(store: str) -> str:
    """Return the name of a store on pages: no password is in it."""
    if "://" in store:
        return store.rpartition("/")[2].partition("?")[0] or "conversations"
    path = Path(store).resolve()
    return path.parent.name if path.name == "conversations.db" else path.stem


@contextlib.contextmanager
def shown(
    wanted: bool,  # noqa: FBT001 - the option
    runs: Iterable[Path],
    page: str,
    *,
    port: int = PORT,
    read_only: bool = False,
    keep_open: float | None = 0.0,
) -> Iterator[Callable[[Any, str], object]]:
    """Serve a console around a block, if it is wanted; yield the function that shows a part of the process in it.

    After the block it stays until Ctrl-C, or until no page was open for `keep_open` seconds.
    """
    if not wanted:
        yield lambda _, __: None
        return
    from coterie.console import Console, ConsoleOptions  # noqa: PLC0415 - only with the extra

    with Console(runs, options=ConsoleOptions(port=port, read_only=read_only)) as served:
        tell(served.link(page))
        yield served.show
        if keep_open != 0:
            Terminal(highlight=False).print("The console stays open; Ctrl-C ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                served.wait(keep_open)


def keep_open_of(given: float | None) -> float | None:
    """Return how long a console stays after a run: as given, or until Ctrl-C on a terminal and not at all elsewhere."""
    return given if given is not None else None if os.isatty(1) else 0.0


def tell(link: str) -> None:
    """Print the link."""
    Terminal(highlight=False).print(f"Watch it at [link={link}]{escape(link)}[/]", soft_wrap=True)
