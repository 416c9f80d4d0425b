"""Measures of inequality of a harvest."""

from __future__ import annotations

from collections.abc import Sequence


def gini(values: Sequence[float]) -> float:
    """Return the Gini coefficient: 0 for equal values, near 1 if one value is the whole sum; 0 for a sum of 0.

    By the formula over the ordered values (Gini, "Variabilità e mutabilità", 1912).
    """
    ordered = sorted(values)
    total = sum(ordered)
    if not total:
        return 0.0
    weighted = sum(place * value for place, value in enumerate(ordered, start=1))
    return 2 * weighted / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)
