"""The return values of stages on their way to other stages and agents: frozen if they are plain data, else copied."""

from __future__ import annotations

from typing import Any

from coterie.errors import InvalidValue
from coterie.kernel.checkpoint import detach
from coterie.world.state.values import freeze


def own(value: Any, stage: str, *, plain: bool) -> Any:
    """Return a value for later stages of the same agent: frozen if it is plain data, else unchanged.

    Raises `InvalidValue` if it must be plain data, and is not.
    """
    try:
        return freeze(value, stage)
    except InvalidValue:
        if plain:
            raise
        return value


def for_others(value: Any, stage: str) -> Any:
    """Return a value for another agent: frozen if it is plain data, else a copy."""
    try:
        return freeze(value, stage)
    except InvalidValue:
        return detach(value)


def for_each(value: Any, stage: str, agents: int, *, plain: bool) -> list[Any]:
    """Return a value for each of several agents: one frozen value for all if it is plain data, else a copy for each.

    Raises `InvalidValue` if it must be plain data, and is not.
    """
    try:
        return [freeze(value, stage)] * agents
    except InvalidValue:
        if plain:
            raise
        return [detach(value) for _ in range(agents)]
