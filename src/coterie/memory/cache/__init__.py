"""The in-process cache of recently and frequently used memories, in shards."""

from coterie.memory.cache.adaptive import AdaptiveCache, CacheStatistics
from coterie.memory.cache.segments import CacheEntry, FrequencySketch

__all__ = ["AdaptiveCache", "CacheEntry", "CacheStatistics", "FrequencySketch"]
