"""What becomes of a memory whose time is up."""

from typing import Any

import pytest

from coterie.memory import MemoryConfig, MemoryRecord, Tier
from coterie.memory.record import MaintenanceAction
from coterie.memory.tiers.rules import (
    MaintenanceVerdict,
    strength,
    time_in_tier,
    when_busy,
    when_crowded,
    when_expired,
    when_time_is_up,
)

CONFIG = MemoryConfig(stm_ttl=100, im_ttl=1_000, forget_below=0.3)


def record(**fields: Any) -> MemoryRecord:
    return MemoryRecord(**{"id": "i", "key": "k", "version": 1, "value": b"\xc0", **fields})


def test_strength_grows_with_importance_recency_and_use_and_stays_between_0_and_1() -> None:
    weak = strength(record(importance=0.0), 1e9)
    assert weak == pytest.approx(0.0, abs=1e-6)
    assert strength(record(importance=1.0), 1e9) > strength(record(importance=0.5), 1e9) > weak
    assert strength(record(last_access=1e9), 1e9) > weak
    assert strength(record(access_count=10), 1e9) > strength(record(access_count=1), 1e9) > weak
    assert strength(record(importance=1.0, last_access=1e9, access_count=10**9), 1e9) == pytest.approx(1.0)


def test_a_memory_that_is_in_use_stays_for_another_while() -> None:
    used = record(tier=Tier.SHORT, last_access=60.0, access_count=1)
    assert when_time_is_up(used, 100.0, CONFIG).action is MaintenanceAction.KEPT
    assert when_time_is_up(used, 110.0, CONFIG).action is MaintenanceAction.PROMOTED


def test_a_quiet_short_term_memory_becomes_intermediate_however_weak_it_is() -> None:
    verdict = when_time_is_up(record(tier=Tier.SHORT, importance=0.0), 1e9, CONFIG)
    assert (verdict.action, verdict.target) == (MaintenanceAction.PROMOTED, Tier.INTERMEDIATE)


def test_an_intermediate_memory_becomes_long_term_unless_it_has_faded() -> None:
    assert when_time_is_up(record(tier=Tier.INTERMEDIATE, importance=0.9), 1e9, CONFIG).target is Tier.LONG
    faded = when_time_is_up(record(tier=Tier.INTERMEDIATE, importance=0.1), 1e9, CONFIG)
    assert (faded.action, faded.target) == (MaintenanceAction.EXPIRED, None)
    assert "0.06" in faded.reason
    assert when_time_is_up(record(tier=Tier.INTERMEDIATE, importance=0.0), 1e9, MemoryConfig()).target is Tier.LONG


def test_a_full_tier_hands_on_to_the_next() -> None:
    assert when_crowded(record(tier=Tier.SHORT)).target is Tier.INTERMEDIATE
    assert when_crowded(record(tier=Tier.INTERMEDIATE)).target is Tier.LONG


def test_frequently_read_memories_come_back() -> None:
    assert when_busy(record(tier=Tier.LONG), 2, CONFIG) is None
    assert when_busy(record(tier=Tier.SHORT), 9, CONFIG) is None
    assert when_busy(record(tier=Tier.LONG), 3, CONFIG) == MaintenanceVerdict(
        MaintenanceAction.DEMOTED, Tier.SHORT, "it was read 3 times lately"
    )


def test_a_time_to_live_is_over_at_its_last_moment() -> None:
    assert when_expired(record(expires=10.0), 9.9) is None
    assert when_expired(record(), 1e12) is None
    verdict = when_expired(record(expires=10.0), 10.0)
    assert verdict is not None
    assert verdict.target is None


def test_the_long_term_has_no_end() -> None:
    assert [time_in_tier(tier, CONFIG) for tier in Tier] == [100, 1_000, float("inf")]
