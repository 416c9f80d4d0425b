from coterie.kernel import Clock, Countdown, SystemClock
from coterie.kernel.clock import DrivenClock
from coterie.testing import ManualClock


def test_the_system_clock_goes_on_and_never_back() -> None:
    clock: Clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
    assert clock.time() > 1_700_000_000
    assert SystemClock.processor() >= 0
    assert not isinstance(clock, DrivenClock)


def test_a_countdown_counts_down_to_nothing() -> None:
    assert Countdown(None).left() is None
    assert not Countdown(None).over
    assert Countdown(0).over
    left = Countdown(100).left()
    assert left is not None
    assert 99 < left <= 100


def test_a_manual_clock_is_driven() -> None:
    assert isinstance(ManualClock(), DrivenClock)
