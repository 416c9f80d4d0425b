"""The messages after Ctrl-C and after a spent budget."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from coterie.errors import BudgetExhausted
from coterie.errors.orchestrator import RunStopped
from coterie.orchestrator.folder import RunFolder


@contextmanager
def interruptible(message: Callable[[], str]) -> Iterator[None]:
    """End the process with status 130 after Ctrl-C within the block, and print the line that `message` returns."""
    try:
        yield
    except KeyboardInterrupt:
        # A second Ctrl-C means the same as the first, and the remaining work is short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Console(stderr=True, highlight=False).print(f"interrupted; {escape(message())}", soft_wrap=True)
        raise typer.Exit(130) from None


@contextmanager
def going_on(folder: RunFolder) -> Iterator[None]:
    """Print the command that resumes a run after an interruption or a spent budget."""
    with interruptible(lambda: f"the record so far is in {folder.path}; go on with: coterie resume {folder.path}"):
        try:
            yield
        except BudgetExhausted:
            Console(stderr=True, highlight=False).print(
                f"stopped; go on with: coterie resume {escape(str(folder.path))} --max-requests N, or --max-dollars N",
                soft_wrap=True,
            )
            raise
        except RunStopped as stopped:
            Console(stderr=True, highlight=False).print(escape(str(stopped)), soft_wrap=True)
            raise typer.Exit(130) from None
