from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from coterie_examples.commons.strategies import Catch, Situation, Strategy

RULES: TypeAdapter[Any] = TypeAdapter(Strategy)


def ask(
    rule: dict[str, Any], *, stock: int = 100, fishers: int = 5, last: dict[str, Catch] | None = None, seed: int = 0
) -> int:
    situation = Situation(1 if last is None else 2, stock, 100, 2.0, fishers, last or {})
    amount: int = RULES.validate_python(rule).ask(situation, Random(seed))
    return amount


def test_each_rule_follows_its_description() -> None:
    assert ask({"rule": "constant", "amount": 7}) == 7
    assert ask({"rule": "greedy"}, stock=63) == 63
    assert ask({"rule": "fair-share"}) == 10
    assert ask({"rule": "fair-share"}, stock=58) == 5
    assert ask({"rule": "cautious"}) == 10
    assert ask({"rule": "cautious"}, stock=50) == 0
    assert ask({"rule": "cautious", "keep": 0.2}, stock=40) == 4
    assert ask({"rule": "imitate-the-best", "first": 8}) == 8
    last = {"b": Catch(9, 9), "a": Catch(12, 9), "c": Catch(30, 4)}
    assert ask({"rule": "imitate-the-best", "first": 8}, last=last) == 12
    assert {ask({"rule": "gamble", "least": 3, "most": 5}, seed=seed) for seed in range(50)} == {3, 4, 5}
    assert ask({"rule": "gamble", "least": 9, "most": 2}, seed=1) in range(2, 10)


@pytest.mark.parametrize("stock", range(101))
def test_a_tenth_is_rounded_down_exactly(stock: int) -> None:
    assert ask({"rule": "portion", "part": 0.1}, stock=stock) == stock // 10


@given(
    st.sampled_from(
        [
            {"rule": "constant", "amount": 3},
            {"rule": "portion", "part": 0.37},
            {"rule": "fair-share"},
            {"rule": "greedy"},
            {"rule": "cautious", "keep": 0.3},
            {"rule": "imitate-the-best", "first": 4},
            {"rule": "gamble", "most": 20},
        ]
    ),
    st.integers(0, 100),
    st.integers(1, 20),
    st.integers(0, 5),
)
def test_every_rule_asks_for_a_whole_number_and_the_same_for_the_same_stream(
    rule: dict[str, Any], stock: int, fishers: int, seed: int
) -> None:
    amount = ask(rule, stock=stock, fishers=fishers, seed=seed)
    assert type(amount) is int
    assert amount >= 0
    assert amount == ask(rule, stock=stock, fishers=fishers, seed=seed)
