from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.orchestrator.sharing import RULES, Share

asks = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 200), min_size=1, max_size=8)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(asked=asks, available=st.integers(0, 300), seed=st.integers(0, 9))
def test_all_that_can_be_given_is_given_and_nobody_gets_more_than_it_asked_for(
    rule: Share, asked: dict[str, int], available: int, seed: int
) -> None:
    shares = rule(asked, available, Random(seed))
    assert list(shares) == list(asked)
    assert sum(shares.values()) == min(available, sum(asked.values()))
    assert all(0 <= shares[name] <= asked[name] for name in asked)
    assert shares == rule(asked, available, Random(seed))


@given(asked=asks, available=st.integers(0, 300))
def test_a_proportional_share_is_within_one_of_the_exact_part(asked: dict[str, int], available: int) -> None:
    total = sum(asked.values())
    shares = RULES["proportional"](asked, available, Random(0))
    for name, amount in asked.items():
        exact = amount if total <= available else amount * available / total
        assert abs(shares[name] - exact) < 1


@given(asked=asks, available=st.integers(0, 300))
def test_an_equal_share_takes_from_nobody_who_has_less(asked: dict[str, int], available: int) -> None:
    shares = RULES["equal"](asked, available, Random(0))
    most = max(shares.values())
    assert all(share >= most - 1 for name, share in shares.items() if share < asked[name])


def test_a_lottery_serves_in_random_order() -> None:
    asked = {"a": 6, "b": 6, "c": 6}
    outcomes = {tuple(RULES["lottery"](asked, 10, Random(seed)).values()) for seed in range(50)}
    assert outcomes == {(6, 4, 0), (6, 0, 4), (4, 6, 0), (0, 6, 4), (4, 0, 6), (0, 4, 6)}
