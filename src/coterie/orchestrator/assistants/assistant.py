"""What the code of a scenario provides, and what it is given for that."""

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
    """Where an assistant works: what a provider is given, beside its settings."""

    folder: Path
    """For its data. It is there, and stays between two runs."""
    clock: Clock
    notice: Callable[[str], None]
    """Shows a line to whoever runs the program, and to no user or model: what a demonstration has instead of a telephone.
    May be called from any thread."""


@dataclass(frozen=True)
class Assistant:
    """An assistant: tools, and what they need."""

    tools: Sequence[Tool]
    instructions: str = ""
    """Who the model is to be."""
    model: Model | None = None
    """What answers where no other model is named; None if a language model is needed."""
    provide: Sequence[Any] = ()
    """What tools get by ``context.use(kind)``."""
    greeting: str = ""
    """What a person is shown first."""
    close: Callable[[], None] | None = None
    """Called once, when no conversation is open any more."""
