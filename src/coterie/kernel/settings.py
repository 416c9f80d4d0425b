"""Validation of settings at the call that receives them."""

from __future__ import annotations

import math
import sys
from enum import StrEnum
from typing import Any, TypeVar

from coterie.errors import InvalidSetting
from coterie.kernel.clock import Clock, SystemClock

E = TypeVar("E", bound=StrEnum)


def check_number(
    where: str, value: Any, *, least: float = 0, above: float | None = None, optional: bool = False, whole: bool = False
) -> None:
    """Check that a setting is a finite number of at least `least`, or above `above` if that is given.

    `whole` requires an integer; `optional` allows None. Raises `InvalidSetting`.
    """
    if value is None and optional:
        return
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    fits = number and (isinstance(value, int) or math.isfinite(value)) and (whole or abs(value) <= sys.float_info.max)
    if fits and (value > above if above is not None else value >= least):
        return
    need = "a whole number" if whole else "a number"
    bound = f"above {above:g}" if above is not None else f"of at least {least:g}"
    raise InvalidSetting(where, value, f"{need} {bound}" + (", or None" if optional else ""))


def check_instance(where: str, value: Any, kind: type | tuple[type, ...], need: str) -> None:
    """Check that a setting is an instance of a type. `need` describes the expected value. Raises `InvalidSetting`."""
    if not isinstance(value, kind):
        raise InvalidSetting(where, value, need)


def choice(where: str, value: Any, kind: type[E]) -> E:
    """Return the enumeration member that a setting is or names. Raises `InvalidSetting`."""
    if isinstance(value, str):
        name = value.lower().replace("_", "-").replace(" ", "-")
        for member in kind:
            if member == name:
                return member
    raise InvalidSetting(where, value, "one of " + ", ".join(f'"{member}"' for member in kind))


def clock_or_system(where: str, clock: Clock | None) -> Clock:
    """Return `clock`, or the clock of the machine for None. Raises `InvalidSetting` if `clock` is not a clock."""
    if clock is None:
        return SystemClock()
    if not (callable(getattr(clock, "time", None)) and callable(getattr(clock, "monotonic", None))):
        raise InvalidSetting(where, clock, "a clock, such as SystemClock()")
    return clock
