"""`coterie dead-letters`: the messages of durable agents that failed too often."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.durable import DurableStore, StoredMessage
from coterie.errors import StorageError
from coterie.errors.durable import NoDeadLetter
from coterie.storage import open_database


def dead_letters(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The file or the address of the store.", show_default=False)],
    redrive: Annotated[
        list[int] | None, typer.Option("--redrive", metavar="NUMBER", help="Deliver this message again; may be repeated.")
    ] = None,
    redrive_all: Annotated[bool, typer.Option("--redrive-all", help="Deliver all of them again.")] = False,
    kind: Annotated[str | None, typer.Option("--kind", help="Only for agents of this stored name.")] = None,
    tracebacks: Annotated[bool, typer.Option("--tracebacks", help="Show the whole tracebacks.")] = False,
) -> None:
    """List the messages of durable agents that failed too often, or deliver them again.

    They are delivered when the program that knows the agents opens the store. One process at a time may open a file.
    """
    if "://" not in store and not Path(store).is_file():
        raise StorageError(store, "there is no such file")
    console = Console(highlight=False)
    with open_database(store) as database:
        durable = DurableStore(database)
        found = durable.dead_letters(kind)
        numbers = [letter.number for letter in found] if redrive_all else redrive or []
        for number in numbers:
            if durable.redrive(number) is None:
                raise NoDeadLetter(store, number)
        if numbers:
            console.print(f"{len(numbers)} will be delivered again", soft_wrap=True)
            return
        for letter in found:
            console.print(_line(letter), soft_wrap=True)
            if tracebacks and letter.error:
                console.print(escape(letter.error.rstrip()), soft_wrap=True)
        if not found:
            console.print("no dead letters", soft_wrap=True)


def _line(letter: StoredMessage) -> str:
    message = letter.message.rpartition(":")[2]
    last = (letter.error or "").strip().rpartition("\n")[2]
    tried = f"failed {letter.attempts} times" if letter.attempts != 1 else "failed once"
    return escape(f"{letter.number}: {message} to {letter.to.kind} {letter.to.key!r} {tried}: {last}")
