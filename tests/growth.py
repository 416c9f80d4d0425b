"""Measure how the work of a call grows, by the number of executed lines of Python and not by time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_of(work: Callable[[], object]) -> int:
    """Return the number of lines, repetitions included, that `work` executes on this thread."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(make: Callable[[int], Callable[[], object]], small: int, large: int) -> float:
    """Return how many times as many lines the work of size `large` takes as that of size `small`, which is made before."""
    return lines_of(make(large)) / lines_of(make(small))
