import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.world.resolvers.rationing import RULES, Share, Sharing

asks = st.lists(st.integers(0, 200), min_size=1, max_size=8)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(asked=asks, available=st.integers(0, 300), seed=st.integers(0, 9))
def test_the_whole_available_amount_is_granted_and_no_share_exceeds_its_request(
    rule: Share, asked: list[int], available: int, seed: int
) -> None:
    shares = rule(asked, available, Random(seed))
    assert sum(shares) == min(available, sum(asked))
    assert all(0 <= share <= amount for share, amount in zip(shares, asked, strict=True))
    assert all(isinstance(share, int) for share in shares)
    assert shares == rule(asked, available, Random(seed))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(asked=st.lists(st.floats(0, 1e6), min_size=1, max_size=8), available=st.floats(0, 1e6))
def test_fractions_are_shared_out_too(rule: Share, asked: list[float], available: float) -> None:
    shares = rule(asked, available, Random(0))
    assert sum(shares) == pytest.approx(min(available, sum(asked)))
    assert all(0 <= share <= amount for share, amount in zip(shares, asked, strict=True))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(
    asked=st.lists(st.floats(0, 1e308) | st.floats(0, 1) | st.integers(0, 9), min_size=1, max_size=8),
    available=st.floats(0, 1e308) | st.floats(0, 3) | st.integers(0, 20),
    seed=st.integers(0, 9),
)
def test_a_division_never_leaves_a_negative_amount(rule: Share, asked: list[float], available: float, seed: int) -> None:
    left = available
    for share, amount in zip(rule(asked, available, Random(seed)), asked, strict=True):
        assert 0 <= share <= amount
        left -= share
    assert left >= 0
    if sum(asked) >= available:
        assert left <= 1e-6 * available


@given(asked=asks, available=st.integers(0, 300))
def test_a_proportional_share_is_within_one_of_the_exact_part(asked: list[int], available: int) -> None:
    total = sum(asked)
    shares = RULES[Sharing.PROPORTIONAL](asked, available, Random(0))
    for share, amount in zip(shares, asked, strict=True):
        exact = amount if total <= available else amount * available / total
        assert abs(share - exact) < 1


@given(asked=asks, available=st.integers(0, 300))
def test_an_equal_share_does_not_reduce_smaller_requests(asked: list[int], available: int) -> None:
    shares = RULES[Sharing.EQUAL](asked, available, Random(0))
    most = max(shares)
    assert all(share >= most - 1 for share, amount in zip(shares, asked, strict=True) if share < amount)


def test_the_remainder_of_a_division_is_drawn() -> None:
    for sharing in (Sharing.EQUAL, Sharing.PROPORTIONAL):
        drawn = {tuple(RULES[sharing]([5, 5, 5], 10, Random(seed))) for seed in range(20)}
        assert drawn == {(4, 3, 3), (3, 4, 3), (3, 3, 4)}


def test_a_lottery_serves_in_random_order_and_first_come_in_order() -> None:
    outcomes = {tuple(RULES[Sharing.LOTTERY]([6, 6, 6], 10, Random(seed))) for seed in range(50)}
    assert outcomes == {(6, 4, 0), (6, 0, 4), (4, 6, 0), (0, 6, 4), (4, 0, 6), (0, 4, 6)}
    assert RULES[Sharing.FIRST_COME]([6, 6, 6], 10, Random(0)) == [6, 4, 0]


def test_fractions_are_added_up_exactly_whatever_the_version_of_python() -> None:
    # The plain sum from left to right, as before Python 3.12, is 0.9999999999999999, and would cut nobody.
    asked = [0.1] * 10
    assert sum_from_left(asked) < 1.0
    assert list(RULES[Sharing.EQUAL](asked, 0.9999999999999999, Random(0))) != asked


def test_the_shares_of_fractions_are_those_of_exact_sums() -> None:
    # With a sum from left to right, five of these shares are another number in the last place.
    asked = [0.45, 2.55, 2.3, 0.8, 1.51, 1.38]
    shares = [
        0.17018909899888765,
        0.9644048943270298,
        0.8698553948832034,
        0.3025583982202447,
        0.5710789766407119,
        0.5219132369299228,
    ]
    assert sum_from_left(asked) != math.fsum(asked)
    assert RULES[Sharing.PROPORTIONAL](asked, 3.4, Random(0)) == shares


def sum_from_left(amounts: list[float]) -> float:
    total = 0.0
    for amount in amounts:
        total += amount
    return total
