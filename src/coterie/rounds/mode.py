"""The four modes: nothing but where agents wait."""

from __future__ import annotations

import enum


class Mode(enum.StrEnum):
    """Where agents wait for each other. All else is the same engine."""

    LOCKSTEP = "lockstep"
    """After every stage, for all others."""
    SYNC_POINTS = "sync-points"
    """Where a stage is done together, and at the end of the round. The same outcome as `LOCKSTEP`."""
    PIPELINES = "pipelines"
    """At the end of the round only. Every stage reads the view that the round began with; what is done together takes
    each agent's proposals alone, and binds when the round closes."""
    TOKENS = "tokens"
    """Nowhere, but to stay within `max_lead` rounds of the slowest. What is done together serves agents as they arrive;
    that order is recorded, and replayed exactly."""

    @property
    def alone(self) -> bool:
        """Whether what is done together takes each agent alone."""
        return self in (Mode.PIPELINES, Mode.TOKENS)
