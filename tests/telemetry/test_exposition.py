import sys
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coterie.errors import ExtraMissing
from coterie.telemetry import DurationSummary, MetricsCollector
from coterie.telemetry.exposition import MetricFamilies, add_durations


class _Collector(MetricsCollector[int]):
    def fill(self, families: MetricFamilies, sources: Sequence[int]) -> None:
        requests = families.counter("requests", "Requests.", ["kind"])
        waiting = families.gauge("waiting", "Waiting requests.", [])
        took = families.summary("took_seconds", "Times.", ["kind"])
        for source in sources:
            requests.add_metric(["read"], source)
            waiting.add_metric([], source)
            add_durations(took, ["read"], DurationSummary(samples=source, mean=0.5))


def test_a_collector_exposes_its_sources_as_text() -> None:
    families = list(text_string_to_metric_families(_Collector(4).text()))
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples == {"requests_total": 4, "waiting": 4, "took_seconds_count": 4, "took_seconds_sum": 2.0}


def test_without_the_extra_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ExtraMissing, match=r"pip install .*\[prometheus\]"):
        _Collector()
