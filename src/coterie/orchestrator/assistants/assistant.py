"""The assistant that a provider returns, and the context that the provider gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coterie.conversation import Tool
from coterie.kernel import Clock
from coterie.models import Model


@dataclass(frozen=True)
class Place:
    """The context that a provider gets beside its settings."""

    folder: Path
    """The folder for its data. It exists, and stays between two runs."""
    clock: Clock
    notice: Callable[[str], None]
    """Shows a line to the operator of the program, not to users or models, such as the text message of a demonstration.
    May be called from any thread."""


@dataclass(frozen=True)
class Assistant:
    """An assistant: its tools, model and services."""

    tools: Sequence[Tool]
    instructions: str = ""
    """Instructions for the model."""
    model: Model | None = None
    """The default model; None if a language model must be named."""
    provide: Sequence[Any] = ()
    """The services for ``context.use(kind)`` in tools."""
    greeting: str = ""
    """The greeting."""
    close: Callable[[], None] | None = None
    """Called once, after the last conversation has been closed."""
