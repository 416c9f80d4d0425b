import sys

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from coterie.errors import ExtraMissing
from coterie.work import ActionSystem, ProcessingEngine, TaskType, WorkCollector, exposition


def test_prometheus_reads_what_is_exposed() -> None:
    with ProcessingEngine() as engine, ActionSystem() as system:
        for _ in range(3):
            engine.submit(int, type=TaskType.PLANNING).result(10)
        assert system.submit(divmod, 1, 0, retry=None).wait(10)
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(exposition(engine, system))
            for sample in family.samples
        }
    planning = (("engine", "processing"), ("type", "planning"))
    assert samples["coterie_jobs_submitted_total", *planning] == 3
    assert samples["coterie_job_run_seconds_count", *planning] == 3
    execution = (("engine", "actions"), ("outcome", "failed"), ("type", "execution"))
    assert samples["coterie_jobs_ended_total", *execution] == 1


def test_a_registry_takes_a_collector() -> None:
    with ProcessingEngine() as engine:
        registry = CollectorRegistry()
        registry.register(WorkCollector(engine))
        assert registry.get_sample_value("coterie_worker_utilisation_ratio", {"engine": "processing"}) == 0.0


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ExtraMissing, match=r"coterie\[prometheus\]"):
        WorkCollector()
