"""What conversations show of themselves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coterie.work.pool.counts import Spread


class ToolMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one tool, since its host was opened. Times are in seconds."""

    called: int = 0
    """Operations that were taken."""
    refused: int = 0
    """Calls that were not: unfit arguments, a guard, the lane."""
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    compensated: int = 0
    timed_out: int = 0
    unknown: int = 0
    """Operations that nobody could tell the outcome of, after a crash."""
    retries: int = 0
    backgrounded: int = 0
    """Operations that a turn did not wait for."""
    abandoned: int = 0
    """Attempts that were given up and have not come back."""
    wait: Spread = Spread()
    """From the call to the beginning."""
    run: Spread = Spread()
    """How long attempts ran."""


class ConversationMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What the conversations of a host have done, at one moment."""

    conversations: int
    """Those that are open."""
    turns: int
    answered: int
    cut: int
    failed: int
    deliveries: int
    merged: int
    """Deliveries that a model put into words."""
    running: int
    queued: int
    tools: Mapping[str, ToolMetrics]
