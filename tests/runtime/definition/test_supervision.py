from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie import Backoff, Strategy, Supervision
from coterie.runtime.definition.supervision import RestartHistory


@given(st.lists(st.floats(0, 50), max_size=40), st.integers(0, 5), st.floats(0.1, 20))
def test_no_window_ever_holds_more_restarts_than_permitted(gaps: list[float], most: int, within: float) -> None:
    policy = Supervision(max_restarts=most, within=within)
    history = RestartHistory()
    now = 0.0
    granted: list[float] = []
    for gap in gaps:
        now += gap
        inside = [time for time in granted if now - time <= within]
        number = history.permit(policy, now)
        assert number == (len(inside) + 1 if len(inside) < most else 0)
        if number:
            granted.append(now)


@given(st.floats(0, 10), st.floats(1, 5), st.floats(0, 100), st.floats(0, 1), st.integers(1, 10_000))
def test_a_delay_stays_within_its_limits(initial: float, factor: float, more: float, jitter: float, restart: int) -> None:
    backoff = Backoff(initial, factor, initial + more, jitter)
    full = min(backoff.maximum, initial * factor ** min(restart - 1, 64))
    delay = backoff.delay(restart, Random(restart))
    assert full * (1 - jitter) - 1e-9 <= delay <= full + 1e-9


def test_without_jitter_delays_grow_to_their_limit() -> None:
    backoff = Backoff(1.0, 3.0, 10.0, 0.0)
    assert [backoff.delay(n, Random(0)) for n in (1, 2, 3, 4, 100_000)] == [1.0, 3.0, 9.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "arguments", [{"initial": -1}, {"factor": 0.5}, {"initial": 5, "maximum": 1}, {"jitter": 2}, {"jitter": -0.1}]
)
def test_an_invalid_backoff_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"Backoff\.\w+=.*: need a number"):
        Backoff(**arguments)  # type: ignore[arg-type] # the number of restarts at once is not among them


def test_policies_are_values() -> None:
    assert Supervision(Strategy.ONE_FOR_ALL) == Supervision(Strategy("one-for-all"))
    assert hash(Supervision()) == hash(Supervision())
    with pytest.raises(AttributeError):
        Supervision().max_restarts = 3  # type: ignore[misc] # on purpose


class _NoChance(Random):
    def random(self) -> float:
        return 0.0


def test_a_name_for_a_policy_will_do() -> None:
    assert Supervision("one_for_all").strategy is Strategy.ONE_FOR_ALL  # type: ignore[arg-type] # a name will do
    assert Supervision(backoff=0.5).delay(1, 1, _NoChance()) == 0.5
    with pytest.raises(ValueError, match="all-for-none"):
        Supervision("all-for-none")  # type: ignore[arg-type] # on purpose
    with pytest.raises(ValueError, match="max_restarts=-1"):
        Supervision(max_restarts=-1)


def test_by_default_the_first_restart_within_the_window_comes_at_once() -> None:
    policy = Supervision()
    # An agent that fails again and again, and one that handles messages in between.
    assert [policy.delay(number, number, _NoChance()) for number in (1, 2, 3)] == [0.0, 0.05, 0.1]
    assert [policy.delay(number, 1, _NoChance()) for number in (1, 2, 3, 1)] == [0.0, 0.05, 0.05, 0.0]
    with pytest.raises(ValueError, match="at_once=-1"):
        Backoff(at_once=-1)


def test_the_delay_grows_with_the_restarts_between_which_nothing_was_handled() -> None:
    history = RestartHistory()
    assert [history.in_a_row(handled) for handled in (0, 0, 0, 199, 199, 400)] == [1, 2, 3, 1, 2, 1]
