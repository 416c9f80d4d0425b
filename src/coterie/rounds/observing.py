"""What can be seen of a simulation from any thread while it runs."""

from __future__ import annotations

import msgspec

from coterie.kernel import check_number
from coterie.kernel.displays import html_of
from coterie.rounds.engine.engine import RoundEngine
from coterie.rounds.engine.timeline import Span
from coterie.runtime import Runtime


class RoundsMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a simulation in this process, since its beginning or its latest `resume`. Times are in seconds."""

    rounds: int = 0
    """Settled rounds."""
    turns: int = 0
    """Turns that ended by themselves; that of a group counts once."""
    forfeits: int = 0
    errors: int = 0
    """Forfeits by an exception, and intents that were refused because of one."""
    granted: int = 0
    cut: int = 0
    refused: int = 0
    """Intents that the resolver refused; `granted` and `cut` are the others."""
    seconds: float = 0.0
    """Time of all settled rounds."""
    turn_seconds: float = 0.0
    """Time of all turns, which overlap."""
    waited_seconds: float = 0.0
    """Time that agents have waited for others, over all agents, in the current or last run."""


class ObservedSimulation:
    """The part of a `Simulation` that only reads. Safe from any thread."""

    _engine: RoundEngine | None

    @property
    def runtime(self) -> Runtime | None:
        """The runtime of its agents, to be observed from any thread; None before the first run. It stops with the run."""
        return self._engine.executors.runtime if self._engine is not None else None

    def timeline(self, newest: int = 1_000) -> tuple[Span, ...]:
        """Return the newest turns and waits of the current or last run. From any thread. Raises `InvalidSetting`."""
        check_number("Simulation.timeline", newest, least=1, whole=True)
        return tuple(self._engine.timeline.spans[-newest:]) if self._engine is not None else ()

    def metrics(self) -> RoundsMetrics:
        """Return the counts of this moment."""
        engine = self._engine
        if engine is None:
            return RoundsMetrics()
        counts = engine.settling.counts
        return RoundsMetrics(
            rounds=counts.rounds,
            turns=counts.turns,
            forfeits=counts.forfeits,
            errors=engine.errors,
            granted=counts.granted,
            cut=counts.cut,
            refused=counts.refused,
            seconds=counts.seconds,
            turn_seconds=counts.turn_seconds,
            waited_seconds=engine.timeline.waited,
        )

    def _repr_html_(self) -> str | None:
        """Return the display in a notebook; None without the extra `console`."""
        return html_of(self, "coterie.console.notebook:simulation_html")
