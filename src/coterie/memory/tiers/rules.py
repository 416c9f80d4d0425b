"""What becomes of a memory whose time in its tier is up: pure functions of the memory and the time.

Up is towards the short-term tier, where what is in use is; but to be *promoted* is to move on to where memories are kept
for longer, as the word is used of memory.
"""

from __future__ import annotations

from typing import NamedTuple

from coterie.memory.config import MemoryConfig
from coterie.memory.record import MaintenanceAction, MemoryRecord, Tier

_HALF_LIFE = 7 * 86_400.0
"""Seconds without use after which the recency of a memory counts half."""
_USES = 5.0
"""Uses at which the count of uses counts half of what it can."""


class MaintenanceVerdict(NamedTuple):
    """What is to become of a memory."""

    action: MaintenanceAction
    target: Tier | None
    """Where it goes, or stays; None if it is deleted."""
    reason: str


def strength(record: MemoryRecord, now: float) -> float:
    """Return how firmly a memory is held, from 0 to 1: mostly its importance, then how lately, then how often it was used."""
    age = max(0.0, now - max(record.last_access, record.created))
    recency: float = 0.5 ** (age / _HALF_LIFE)
    use = record.access_count / (record.access_count + _USES)
    return 0.6 * record.importance + 0.25 * recency + 0.15 * use


def time_in_tier(tier: Tier, config: MemoryConfig) -> float:
    """Return the seconds after which a memory in that tier is decided on; infinite for the long-term tier."""
    return {Tier.SHORT: config.stm_ttl, Tier.INTERMEDIATE: config.im_ttl}.get(tier, float("inf"))


def when_time_is_up(record: MemoryRecord, now: float, config: MemoryConfig) -> MaintenanceVerdict:
    """Return what becomes of a memory that has been in its tier for as long as that allows.

    What was used within the last half of that time stays for another. Else short-term memories become intermediate, and
    intermediate ones long-term, unless they are too weak.
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
    """Return what becomes of the oldest memories of a tier that holds too many."""
    target = Tier.INTERMEDIATE if record.tier == Tier.SHORT else Tier.LONG
    return MaintenanceVerdict(MaintenanceAction.PROMOTED, target, f"the {record.tier.name.lower()} tier is full")


def when_busy(record: MemoryRecord, uses: int, config: MemoryConfig) -> MaintenanceVerdict | None:
    """Return what becomes of a memory that was read so often since the last maintenance; None if nothing."""
    if record.tier == Tier.SHORT or uses < config.busy_uses:
        return None
    return MaintenanceVerdict(MaintenanceAction.DEMOTED, Tier.SHORT, f"it was read {uses} times lately")


def when_expired(record: MemoryRecord, now: float) -> MaintenanceVerdict | None:
    """Return what becomes of a memory whose time to live may be over; None if it is not."""
    return MaintenanceVerdict(MaintenanceAction.EXPIRED, None, "its time to live is over") if record.expired(now) else None
