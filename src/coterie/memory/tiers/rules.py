"""The rules of maintenance: pure functions of a memory and the time.

A memory is *promoted* when it moves on towards the long-term tier, as psychology uses the word for memory, and *demoted* when
it returns to the short-term tier.
"""

from __future__ import annotations

from typing import NamedTuple

from coterie.memory.config import MemoryConfig
from coterie.memory.record import MaintenanceAction, MemoryRecord, Tier

_HALF_LIFE = 7 * 86_400.0
"""Seconds without use that halve the recency of a memory."""
_USES = 5.0
"""The number of uses at which frequency counts half of its maximum."""


class MaintenanceVerdict(NamedTuple):
    """The action to take on a memory."""

    action: MaintenanceAction
    target: Tier | None
    """The tier that it moves to or stays in; None if it is deleted."""
    reason: str


def strength(record: MemoryRecord, now: float) -> float:
    """Return the strength of a memory, from 0 to 1: mostly importance, then recency, then frequency of use."""
    age = max(0.0, now - max(record.last_access, record.created))
    recency: float = 0.5 ** (age / _HALF_LIFE)
    use = record.access_count / (record.access_count + _USES)
    return 0.6 * record.importance + 0.25 * recency + 0.15 * use


def time_in_tier(tier: Tier, config: MemoryConfig) -> float:
    """Return the seconds after which maintenance decides about a memory in that tier; infinite for the long-term tier."""
    return {Tier.SHORT: config.stm_ttl, Tier.INTERMEDIATE: config.im_ttl}.get(tier, float("inf"))


def when_time_is_up(record: MemoryRecord, now: float, config: MemoryConfig) -> MaintenanceVerdict:
    """Return the verdict on a memory that has been in its tier for the allowed time.

    A memory used within the last half of that time stays for another period. Otherwise short-term memories become intermediate,
    and intermediate ones long-term, unless they are too weak.
    """
    allowed = time_in_tier(record.tier, config)
    if record.access_count and record.last_access > now - allowed / 2:
        return MaintenanceVerdict(MaintenanceAction.KEPT, record.tier, "it is in use")
    if record.tier == Tier.SHORT:
        return MaintenanceVerdict(MaintenanceAction.PROMOTED, Tier.INTERMEDIATE, "its short-term time is up")
    held = strength(record, now)
    if held < config.forget_below:
        return MaintenanceVerdict(
            MaintenanceAction.EXPIRED, None, f"it has faded: its strength is {held:.2f}, below {config.forget_below:g}"
        )
    return MaintenanceVerdict(MaintenanceAction.PROMOTED, Tier.LONG, "its intermediate time is up")


def when_crowded(record: MemoryRecord) -> MaintenanceVerdict:
    """Return the verdict on the oldest memories of a tier that is too large."""
    target = Tier.INTERMEDIATE if record.tier == Tier.SHORT else Tier.LONG
    return MaintenanceVerdict(MaintenanceAction.PROMOTED, target, f"the {record.tier.name.lower()} tier is full")


def when_busy(record: MemoryRecord, uses: int, config: MemoryConfig) -> MaintenanceVerdict | None:
    """Return the verdict on a memory read `uses` times since the last maintenance; None for no action."""
    if record.tier == Tier.SHORT or uses < config.busy_uses:
        return None
    return MaintenanceVerdict(MaintenanceAction.DEMOTED, Tier.SHORT, f"it was read {uses} times lately")


def when_expired(record: MemoryRecord, now: float) -> MaintenanceVerdict | None:
    """Return the verdict on a memory that may have expired; None if it has not."""
    return MaintenanceVerdict(MaintenanceAction.EXPIRED, None, "its time to live is over") if record.expired(now) else None
