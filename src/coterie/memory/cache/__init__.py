"""The cache: what was used lately and often, in process, in shards."""

from coterie.memory.cache.adaptive import AdaptiveCache, CacheStatistics
from coterie.memory.cache.segments import CacheEntry
from coterie.memory.cache.sketch import FrequencySketch

__all__ = ["AdaptiveCache", "CacheEntry", "CacheStatistics", "FrequencySketch"]
