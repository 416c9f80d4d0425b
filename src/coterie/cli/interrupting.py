"""What is said to whoever presses Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape


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
