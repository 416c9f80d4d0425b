"""The limit on an agent's episodes, the warning before it is reached, and the choice of episodes to evict."""

from __future__ import annotations

import enum
import heapq
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coterie.concurrency import CONTAINED
from coterie.errors import InvalidSetting, describe
from coterie.kernel import check_number, choice
from coterie.memory.mind.episodes import Episodes, key_of
from coterie.memory.mind.items import AgentMemoryStatistics
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.rules import strength


class EvictionPolicy(enum.StrEnum):
    """The policy that chooses the episodes to evict for new ones."""

    FIFO = "fifo"
    """Evict the episodes stored first."""
    AGE = "age"
    """Evict all episodes older than `max_age`, then those that happened first, whenever they were stored."""
    RELEVANCE = "relevance"
    """Evict the weakest episodes: the least important, least recently and least often used."""


def first_stored(times: Mapping[str, float], count: int) -> list[str]:
    """Return the ids of the first `count` episodes; `times` is in the order of storing."""
    return [each for each, _ in zip(times, range(count), strict=False)]


def oldest(times: Mapping[str, float], count: int, now: float, max_age: float | None) -> list[str]:
    """Return the ids of the episodes older than `max_age` seconds; of the `count` oldest if those are fewer."""
    old = [] if max_age is None else [each for each, time in times.items() if time < now - max_age]
    return old if len(old) >= count else heapq.nsmallest(count, times, key=times.__getitem__)


def least_relevant(records: Sequence[MemoryRecord], count: int, now: float) -> list[str]:
    """Return the ids of the `count` weakest records; of two equals, the older."""
    weakest = heapq.nsmallest(count, records, key=lambda record: (strength(record, now), record.created, record.version))
    return [record.id for record in weakest]


_log = logging.getLogger(__name__)


class EpisodeLimit:
    """The limit on episodes of one handle. Callers of `make_room` and `crosses` hold the lock of `Episodes`."""

    def __init__(
        self,
        memory: TieredMemory,
        agent: str,
        *,
        max_episodes: int,
        eviction: EvictionPolicy | str,
        max_age: float | None,
        warn_at: float,
        on_warning: Callable[[AgentMemoryStatistics], object] | None,
    ) -> None:
        """Validate the settings of an `AgentMemory`. Raises `InvalidSetting`."""
        check_number("AgentMemory.max_episodes", max_episodes, least=1, whole=True)
        check_number("AgentMemory.max_age", max_age, above=0, optional=True)
        check_number("AgentMemory.warn_at", warn_at, above=0)
        check_callable("AgentMemory.on_warning", on_warning, optional=True)
        self.max_episodes = max_episodes
        self.eviction = choice("AgentMemory.eviction", eviction, EvictionPolicy)
        self._memory = memory
        self._agent = agent
        self._max_age = max_age
        self._warn_at = warn_at
        self._on_warning = on_warning

    def make_room(self, state: Episodes, newest: MemoryRecord) -> list[str]:
        """Delete episodes until the limit holds, and return their keys. The newest always stays."""
        now = self._memory.clock.time()
        sweeps = self._max_age is not None and self.eviction is EvictionPolicy.AGE and now - state.swept >= self._max_age / 100
        excess = len(state.times) - self.max_episodes
        if excess <= 0 and not sweeps:
            return []
        times = {each: time for each, time in state.times.items() if each != newest.id}
        match self.eviction:
            case EvictionPolicy.FIFO:
                victims = first_stored(times, excess)
            case EvictionPolicy.AGE:
                victims = oldest(times, excess, now, self._max_age)
                state.swept = now
            case EvictionPolicy.RELEVANCE:
                # Weighing all episodes takes long where there are very many, so evict several at once.
                excess = max(excess, self.max_episodes // 1_000)
                records = self._memory.records.get_many(key_of(self._agent, MemoryKind.EPISODE, each) for each in times)
                victims = least_relevant(list(records.values()), excess, now)
        keys = [key_of(self._agent, MemoryKind.EPISODE, victim) for victim in victims]
        for victim, key in zip(victims, keys, strict=True):
            self._memory.delete(key, reason=f"made room: {self.eviction}")
            state.discard(victim)
            state.counts.cleaned += 1
        return keys

    def crosses(self, state: Episodes) -> bool:
        """Return whether the number of episodes has just reached the warning threshold."""
        above = len(state.times) >= self._warn_at * self.max_episodes
        crosses = above and not state.warned
        state.warned = above
        state.counts.warnings += crosses
        return crosses

    def warn(self, statistics: AgentMemoryStatistics) -> None:
        """Log the warning and call the callback. An error of the callback is only logged: the episode is already stored."""
        _log.warning("%s has %d episodes, and %d at most", self._agent, statistics.episodes, self.max_episodes)
        if self._on_warning is None:
            return
        try:
            self._on_warning(statistics)
        except CONTAINED as error:  # user code; logged
            _log.error("the callback for warnings about %s raised %s", self._agent, describe(error), exc_info=error)


def check_callable(where: str, value: Any, *, optional: bool = False) -> None:
    """Raise `InvalidSetting` unless a setting is callable, or None with `optional`."""
    if not (callable(value) or (value is None and optional)):
        raise InvalidSetting(where, value, "a callable" + (", or None" if optional else ""))
