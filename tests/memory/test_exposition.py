"""The metrics of a memory in the Prometheus format."""

from prometheus_client.parser import text_string_to_metric_families

from coterie.memory import MemoryCollector, MemoryConfig, TieredMemory
from coterie.telemetry import prometheus_text
from coterie.world import World, WorldCollector


def test_prometheus_parses_the_metrics_of_a_memory_beside_those_of_a_world() -> None:
    with TieredMemory(MemoryConfig()) as memory, World({"lake": 1}) as world:
        memory.store("alice/goal", "eat")
        memory.flush()
        assert memory.get("alice/goal") is not None
        text = prometheus_text(MemoryCollector(memory, name="minds"), WorldCollector(world))
        metrics = memory.metrics()
    samples = {
        (sample.name, sample.labels.get("tier"), sample.labels.get("memory")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["coterie_memory_stores_total", None, "minds"] == 1
    assert samples["coterie_memory_cache_hits_total", None, "minds"] == metrics.cache.hits
    for tier in metrics.tiers.values():
        assert samples["coterie_memory_tier_up", tier.name, "minds"] == 1
        assert samples["coterie_memory_tier_writes_total", tier.name, "minds"] == tier.writes
    assert samples["coterie_world_keys", None, None] == 1
