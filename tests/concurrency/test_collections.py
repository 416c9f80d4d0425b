"""Full collections of garbage are rare for a while, and then as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from coterie.concurrency.collections import RareCollections


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_last_release_restores_the_threshold() -> None:
    with RareCollections():
        assert gc.get_threshold() == (700, 10, 1_000)
        with pytest.raises(ValueError, match="on purpose"), RareCollections():
            raise ValueError("on purpose")
        assert gc.get_threshold() == (700, 10, 1_000)
    assert gc.get_threshold() == (700, 10, 10)


def test_thresholds_that_other_code_sets_meanwhile_stay() -> None:
    with RareCollections():
        gc.set_threshold(50_000)
        assert gc.get_threshold() == (50_000, 10, 1_000)
    assert gc.get_threshold() == (50_000, 10, 10)
    with RareCollections():
        gc.set_threshold(700, 10, 20)
    assert gc.get_threshold() == (700, 10, 20)


def test_a_threshold_that_is_high_already_is_left_alone() -> None:
    gc.set_threshold(700, 10, 1_000)
    with RareCollections():
        gc.set_threshold(700, 10, 5_000)
    assert gc.get_threshold() == (700, 10, 5_000)
    gc.set_threshold(700, 10, 1_000)
    with RareCollections():
        pass
    assert gc.get_threshold() == (700, 10, 1_000)


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with RareCollections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
