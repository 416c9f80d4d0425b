"""`coterie forget`: delete all that is stored of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.conversation import forget_user
from coterie.errors import InvalidSetting
from coterie.memory import MemoryConfig, TieredMemory
from coterie.storage import open_database

_CONVERSATIONS = "conversations.db"
_MEMORY = "memory.db"


def forget(
    user: Annotated[str, typer.Argument(help="Who is to be forgotten, as in --user.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder of the assistants' folders, or of one.")] = Path("runs"),
    recording: Annotated[
        list[Path] | None, typer.Option(help="A recording of a model; may be given again.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Delete the conversations, operations and memories of a user, in all assistants that no program has open."""
    if not user:
        raise InvalidSetting("user", user, "the name of a user, as in --user")
    folders = sorted({each.parent for each in (*out.glob(_CONVERSATIONS), *out.glob(f"*/{_CONVERSATIONS}"))})
    if not folders:
        raise InvalidSetting("--out", str(out), f"a folder of assistants: with {_CONVERSATIONS} in it, or in a folder in it")
    console = Console(highlight=False)
    if not yes:
        places = ", ".join(str(each) for each in folders)
        typer.confirm(f"Delete all conversations, operations and memories of {user} in {places}?", abort=True)
    for folder in folders:
        with open_database(folder / _CONVERSATIONS) as database:
            if (folder / _MEMORY).exists():
                with TieredMemory(MemoryConfig(path=folder / _MEMORY)) as memory:
                    report = forget_user(database, user, memory=memory, recordings=recording or ())
            else:
                report = forget_user(database, user, recordings=recording or ())
        line = f"{folder}: {len(report.conversations)} conversations, {report.memories} memories"
        removed = f", {report.recordings} recorded requests" if recording else ""
        console.print(escape(f"{line}{removed} deleted"), soft_wrap=True)
