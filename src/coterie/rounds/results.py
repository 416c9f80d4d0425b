"""The results of rounds and of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.errors.tables import NoTable
from coterie.rounds.engine.timeline import Span
from coterie.runtime import RuntimeMetrics
from coterie.tables import DataTable
from coterie.world import Event, View


class RoundResult(msgspec.Struct, frozen=True):
    """A settled round."""

    number: int
    digest: str
    view: View
    """The world after the round."""
    events: tuple[Event, ...]
    """The events of the round: outcomes of intents, verdicts, forfeits, changes at its end."""


class Result(msgspec.Struct, frozen=True):
    """The result of a run."""

    rounds: int
    """The number of settled rounds, over all runs of the simulation."""
    digest: str
    digests: tuple[str, ...]
    """The digest after each round."""
    stopped: str
    """The reason of an end before the last round; empty if there was none."""
    forfeits: int
    view: View
    timeline: tuple[Span, ...]
    """The turns and waits of this run."""
    waited: float
    """Seconds of waiting, over all agents."""
    seconds: float
    """The duration of this run."""
    runtime: RuntimeMetrics
    """The metrics of the runtime of its agents."""
    errors: int = 0
    """The number of forfeits by an exception, and of intents that were refused because of one, over all runs of the simulation."""
    data: Mapping[str, DataTable] = {}
    """The collected tables, over all runs of the simulation: by ``round``, ``agent``, ``type`` and ``stage``, as far as given."""

    def table(self, by: str = "round") -> DataTable:
        """Return a collected table. Raises `NoTable` if nothing was collected by that."""
        if by not in self.data:
            raise NoTable("collected table", by, self.data, "give `collect` to the simulation")
        return self.data[by]

    def frame(self, by: str = "round") -> Any:
        """Return a collected table as a frame of polars, or of pandas if polars is not installed.

        Raises `NoTable` if nothing was collected by that, and `ExtraMissing` without both.
        """
        return self.table(by).frame()


OnRound: TypeAlias = Callable[[RoundResult], object]
"""Called after each settled round, on the thread that runs the simulation."""
