"""Random draws that are the same one by one and by column.

Each agent has a stream of its own for each round, stage and visit. Its numbers are those of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", 2014), seeded by hashes of the agent's name and of the rest; a column of agents
advances all their streams with one operation on arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from coterie.errors import InvalidSetting
from coterie.world.state.column import Rows, numpy

_Item = TypeVar("_Item")
_MASK = 2**64 - 1
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNIT = 2.0**-53


@lru_cache(maxsize=256)
def stream_key(seed: int | str, number: int, stage: str, visit: int) -> int:
    """Return the part of the source of draws that all agents of a stage share."""
    text = f"{type(seed).__name__}:{seed}/{number}/{visit}/{stage}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=16_384)
def _hash_of(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


class Draws:
    """The draws of one agent. Used by one thread."""

    __slots__ = ("_state",)

    def __init__(self, name: str, key: int) -> None:
        self._state = _mixed(_hash_of(name) ^ key)

    def random(self) -> float:
        """Return a number from 0 up to, and without, 1."""
        self._state = value = (self._state + _GOLDEN) & _MASK
        return (_mixed(value) >> 11) * _UNIT

    def below(self, count: int) -> int:
        """Return a whole number from 0 up to, and without, `count`; all are equally likely, but for less than one in 2**53."""
        if count < 1:
            _check(count, count)
        return int(self.random() * count)

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.random() < probability

    def choice(self, items: Sequence[_Item]) -> _Item:
        """Return one of several items."""
        return items[self.below(len(items))]


class ColumnDraws:
    """The draws of all agents of a column: each method draws one number for each agent, or for those `where` a mask is true.

    A drawn array has the values that `Draws` of each agent returns for the same calls. Agents outside of the mask get 0, and their
    streams do not advance. Used by one thread.
    """

    __slots__ = ("_state",)

    def __init__(self, rows: Rows, key: int) -> None:
        np = numpy()
        self._state = _mixed_array(np, rows.hashes ^ np.uint64(key))

    def random(self, where: Any = None) -> Any:
        """Return numbers from 0 up to, and without, 1."""
        np = numpy()
        if where is None:
            self._state = self._state + np.uint64(_GOLDEN)
            return (_mixed_array(np, self._state) >> np.uint64(11)).astype(np.float64) * _UNIT
        chosen = np.flatnonzero(_mask(np, where, len(self._state)))
        self._state = self._state.copy()
        self._state[chosen] += np.uint64(_GOLDEN)
        drawn = np.zeros(len(self._state))
        drawn[chosen] = (_mixed_array(np, self._state[chosen]) >> np.uint64(11)).astype(np.float64) * _UNIT
        return drawn

    def below(self, count: Any, where: Any = None) -> Any:
        """Return whole numbers from 0 up to, and without, `count`, which is one number or one for each agent."""
        np = numpy()
        counts = np.asarray(count)
        wanted = counts if where is None or counts.ndim == 0 else counts[_mask(np, where, len(self._state))]
        _check(int(wanted.min()) if wanted.size else 1, count)
        return (self.random(where) * counts).astype(np.int64)

    def chance(self, probability: Any, where: Any = None) -> Any:
        """Return truth values that are true with a probability, which is one number or one for each agent."""
        np = numpy()
        true = self.random(where) < probability
        return true if where is None else true & np.asarray(where, dtype=bool)


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def _mixed_array(np: Any, values: Any) -> Any:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))


def _mask(np: Any, where: Any, count: int) -> Any:
    mask = np.asarray(where)
    if mask.dtype.kind != "b" or mask.shape != (count,):
        raise InvalidSetting("where", f"an array of {mask.dtype} with the shape {mask.shape}", f"{count} truth values")
    return mask


def _check(least: int, count: Any) -> None:
    if least < 1:
        raise InvalidSetting("below", count, "at least 1 possibility")
