"""Checks of what jobs and engines are given to work by."""

from __future__ import annotations

from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.work.jobs import Retry
from coterie.work.machine import Sizing
from coterie.work.pool import Bounds, Keep, QueueLimits


def check_job(where: str, timeout: Any, deadline: Any, retry: Any) -> None:
    """See that a job's options make sense. Raises `InvalidSetting`."""
    check_number(f"{where}.timeout", timeout, above=0, optional=True)
    check_number(f"{where}.deadline", deadline, above=0, optional=True)
    if retry is not None:
        check_instance(f"{where}.retry", retry, Retry, "a policy: Retry(3), or None")


def check_engine(where: str, name: Any, sizing: Any, queue: Any, keep: Any, balance_every: Any, *bounds: Any) -> None:
    """See that an engine's options make sense. Raises `InvalidSetting`."""
    if not isinstance(name, str) or not name:
        raise InvalidSetting(f"{where}.name", name, "a text that is not empty")
    if sizing is not None:
        check_instance(f"{where}.sizing", sizing, Sizing, "a sizing: Sizing.detect()")
    check_instance(f"{where}.queue", queue, QueueLimits, "limits: QueueLimits(capacity=...)")
    check_instance(f"{where}.keep", keep, Keep, "what is kept: Keep(count=..., seconds=...)")
    check_number(f"{where}.balance_every", balance_every, above=0)
    for each in bounds:
        if each is not None:
            check_instance(f"{where} bounds", each, Bounds, "bounds: Bounds(least, most)")
