"""The metrics of a world in the Prometheus format."""

import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coterie.errors import ExtraMissing
from coterie.testing import ManualClock
from coterie.world import HealthMonitor, Intent, World, WorldCollector


def test_prometheus_parses_the_counts_of_a_world_and_the_figures_of_its_monitors() -> None:
    clock = ManualClock()
    with World({"lake": 1}, clock=clock) as world, HealthMonitor({"lake": lambda: True}, every=60, clock=clock) as health:
        health.look()
        world.commit([Intent("ada", "add", {"key": "lake", "amount": 1})])
        text = WorldCollector(world, health, name="pond").text()
        figures = health.figures()
    samples = {
        (sample.name, sample.labels.get("figure")): (sample.labels["world"], sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["coterie_world_keys", None] == ("pond", 1)
    assert samples["coterie_world_events_total", None] == ("pond", 2)
    assert samples["coterie_world_commits_total", None] == ("pond", world.statistics().commits)
    assert figures
    for name, value in figures.items():
        assert samples["coterie_environment_figure", name] == ("pond", value)


def test_without_the_extra_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with World({}) as world, pytest.raises(ExtraMissing, match="prometheus"):
        WorldCollector(world)
