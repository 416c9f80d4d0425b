"""The four modes. A mode is a choice of where agents wait."""

from __future__ import annotations

import enum


class Mode(enum.StrEnum):
    """The choice of where agents wait for each other. The engine is the same in all modes."""

    LOCKSTEP = "lockstep"
    """After every stage, for all others."""
    SYNC_POINTS = "sync-points"
    """At together-stages, and at the end of the round. The same outcome as `LOCKSTEP`."""
    PIPELINES = "pipelines"
    """At the end of the round only. Every stage reads the round's opening view; a together-stage takes each agent's
    proposals alone, and its verdicts bind when the round closes."""
    TOKENS = "tokens"
    """Nowhere, except to stay within `max_lead` rounds of the slowest. A together-stage serves agents in the order of
    their arrival; that order is recorded, and replayed exactly."""

    @property
    def alone(self) -> bool:
        """True if a together-stage takes each agent alone."""
        return self in (Mode.PIPELINES, Mode.TOKENS)


class OnError(enum.StrEnum):
    """The reaction to a stage that raises for every agent in its first round."""

    RAISE = "raise"
    """The run stops with `StageFailed`, whose cause is the error. A turn that raises at any other time is forfeited."""
    FORFEIT = "forfeit"
    """The turns are forfeited, as at any other time."""
