import pytest

from coterie.telemetry import DurationSummary
from coterie.telemetry.durations import DurationRecorder, percentile, summarise


@pytest.mark.parametrize(("part", "value"), [(0, 1), (50, 51), (95, 96), (99, 100), (100, 100)])
def test_a_percentile_is_one_of_the_values(part: int, value: int) -> None:
    assert percentile(range(1, 101), part) == value


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_nothing_recorded_is_an_empty_summary() -> None:
    assert DurationRecorder().summary() == DurationSummary() == DurationSummary.over(0, 0.0, [])


def test_the_mean_covers_all_durations_and_the_quantiles_the_latest() -> None:
    recorder = DurationRecorder(recent=2)
    for seconds in (9.0, 1.0, 2.0):
        recorder.record(seconds)
    assert recorder.summary() == DurationSummary(samples=3, mean=4.0, median=2.0, p95=2.0, p99=2.0)
    assert recorder.summary().total == 12.0


def test_several_recorders_are_summed_up_together() -> None:
    one, other = DurationRecorder(), DurationRecorder()
    one.record(1.0)
    other.record(3.0)
    assert summarise([one, other, DurationRecorder()]) == DurationSummary(samples=2, mean=2.0, median=3.0, p95=3.0, p99=3.0)


def test_two_summaries_add_up_with_the_quantiles_of_the_larger() -> None:
    few, many = DurationSummary(1, 4.0, 4.0, 4.0, 4.0), DurationSummary(3, 2.0, 1.0, 3.0, 3.0)
    assert few.plus(many) == many.plus(few) == DurationSummary(4, 2.5, 1.0, 3.0, 3.0)
    assert DurationSummary().plus(DurationSummary()) == DurationSummary()
