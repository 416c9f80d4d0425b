"""Counts meet their shares exactly, whatever the shares are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.errors import InvalidPopulation
from coterie.personas.sampling.quotas import apportion, fit, shares_of


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(lambda each: sum(each) > 0.01), st.integers(1, 500))
@settings(max_examples=50, deadline=None)
def test_apportioned_counts_add_up_and_are_near_their_shares(weights: list[float], total: int) -> None:
    shares = {str(place): weight / sum(weights) for place, weight in enumerate(weights)}
    counts = apportion(shares, total)
    assert sum(counts.values()) == total
    assert all(abs(counts[label] - total * share) < 1 + 1e-6 for label, share in shares.items())


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=5), st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_a_fitted_table_has_exact_totals_and_keeps_empty_cells_empty(weights: list[list[int]], size: int) -> None:
    whole = sum(map(sum, weights))
    if not whole:
        return
    expected = [[size * weight / whole for weight in row] for row in weights]
    rows = list(apportion({place: sum(row) for place, row in enumerate(expected)}, size).values())
    columns = list(apportion({place: sum(row[place] for row in expected) for place in range(3)}, size).values())
    table = fit(expected, rows, columns)
    if table is not None:
        assert [sum(row) for row in table] == rows
        assert [sum(row[place] for row in table) for place in range(3)] == columns
        assert all(
            count == 0
            for row, wanted in zip(table, expected, strict=True)
            for count, w in zip(row, wanted, strict=True)
            if w == 0
        )
    else:
        assert any(weight == 0 for row in weights for weight in row)


def test_a_unit_moves_along_a_path_where_a_remainder_lies_in_an_empty_cell() -> None:
    assert fit([[1.0, 1.0], [0.0, 1.0]], [2, 1], [0, 3]) == [[0, 2], [0, 1]]
    assert fit([[1.0, 0.0], [0.0, 1.0]], [2, 0], [1, 1]) is None


@pytest.mark.parametrize(
    ("quotas", "problem"),
    [
        ({"a": 0.5, "b": 0.4}, "x: the quotas add up to 0.9; they must add up to 1"),
        ({"a": 60, "b": 30}, "x: the quotas add up to 90; they must add up to 100, which is the size"),
        ({"a": -0.5, "b": 1.5}, r"x\.a: -0\.5 is not a share or a count"),
        ({"a": float("nan")}, "nan is not a share"),
        ({"a": "half"}, "'half' is not a share"),
        ({}, "at least one"),
    ],
)
def test_quotas_that_do_not_add_up_are_named(quotas: dict[str, float], problem: str) -> None:
    with pytest.raises(InvalidPopulation, match=problem):
        shares_of("x", quotas, 100)
