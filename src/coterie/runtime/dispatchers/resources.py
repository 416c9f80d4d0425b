"""The parts of a runtime that its dispatchers use."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from coterie.concurrency import Timers
from coterie.kernel import Clock


@dataclass(frozen=True, slots=True)
class DispatcherResources:
    """The parts of a runtime that a scheduler may use."""

    name: str
    """Begins the names of its threads."""
    clock: Clock
    timers: Timers
    blocking: Executor
    """The executor that `run_in_executor` of the agents' loops uses by default."""
