"""A clock that is none is refused where it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from coterie import Runtime
from coterie.errors import InvalidSetting
from coterie.kernel import Clock, SystemClock, clock_or_system
from coterie.memory import TieredMemory
from coterie.storage import open_database
from coterie.testing import ManualClock
from coterie.work import ActionSystem, ProcessingEngine
from coterie.world import HealthMonitor, World

NONE = cast("Clock", float)


def test_without_a_clock_there_is_the_machines() -> None:
    assert isinstance(clock_or_system("x", None), SystemClock)
    clock = ManualClock()
    assert clock_or_system("x", clock) is clock


@pytest.mark.parametrize(
    "make",
    [
        lambda: Runtime(clock=NONE),
        lambda: World({}, clock=NONE),
        lambda: TieredMemory(clock=NONE),
        lambda: ProcessingEngine(clock=NONE),
        lambda: ActionSystem(clock=NONE),
        lambda: HealthMonitor({}, clock=NONE),
    ],
)
def test_every_room_refuses_an_object_that_is_not_a_clock(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidSetting, match="clock"):
        make()


def test_a_database_refuses_it_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="clock"):
        open_database(tmp_path / "x.db", clock=NONE)
