"""The comparison of a value with its decoded copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from coterie.kernel.losses import is_same

NAN = float("nan")


@dataclass(eq=False)
class Box:
    content: Any


class Strange:
    __hash__ = None  # type: ignore[assignment] # as Python sets it

    def __eq__(self, other: object) -> bool:
        raise ValueError("no truth value")


@pytest.mark.parametrize("value", [{"a": [1, NAN]}, (1, NAN), Box(NAN), [Box([1])], "x", None])
def test_equal_values_are_the_same(value: Any) -> None:
    copy = Box(list(value.content) if isinstance(value.content, list) else float("nan")) if isinstance(value, Box) else value
    assert is_same(value, copy)


@pytest.mark.parametrize(
    ("value", "copy"),
    [((1, 2), [1, 2]), ({1}, [1]), ({"a": 1}, {"b": 1}), ([1], [1, 2]), (Box(1), Box(2)), (Strange(), Strange()), (NAN, 1.0)],
)
def test_values_of_other_types_or_parts_are_not(value: Any, copy: Any) -> None:
    assert not is_same(value, copy)
