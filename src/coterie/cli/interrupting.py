"""What is said to whoever presses Ctrl-C, or has spent a budget."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from coterie.errors import BudgetExhausted
from coterie.orchestrator import RunFolder


@contextmanager
def interruptible(told: Callable[[], str]) -> Iterator[None]:
    """Have Ctrl-C within the block end the process with 130, and one line: what `told` says of what is left."""
    try:
        yield
    except KeyboardInterrupt:
        # Who presses it twice means it no more than who presses it once, and what is left is short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Console(stderr=True, highlight=False).print(f"interrupted; {escape(told())}", soft_wrap=True)
        raise typer.Exit(130) from None


@contextmanager
def going_on(folder: RunFolder) -> Iterator[None]:
    """Have whoever interrupts a run, or whoever's budget it has spent, be told how it goes on."""
    with interruptible(lambda: f"what happened until then is in {folder.path}; go on with: coterie resume {folder.path}"):
        try:
            yield
        except BudgetExhausted:
            Console(stderr=True, highlight=False).print(
                f"stopped; go on with: coterie resume {escape(str(folder.path))} --max-requests N, or --max-dollars N",
                soft_wrap=True,
            )
            raise
