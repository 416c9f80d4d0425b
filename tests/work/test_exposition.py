import sys
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from coterie.errors import ExtraMissing
from coterie.work import ActionSystem, CircuitBreaker, ProcessingEngine, ResourceLimits, TaskType, WorkCollector, exposition


def test_prometheus_parses_the_exposition() -> None:
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


def test_without_the_extra_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ExtraMissing, match=r"pip install .*\[prometheus\]"):
        WorkCollector()


def test_resources_circuits_and_the_dead_are_exposed() -> None:
    with ActionSystem(resources={"bank": ResourceLimits(at_once=1)}, breaker=CircuitBreaker(failures=1)) as system:
        assert system.submit(divmod, 1, 0, retry=None, resource="bank", target="teller").wait(10)
        registry = CollectorRegistry()
        registry.register(WorkCollector(system))
        actions = {"engine": "actions"}
        assert registry.get_sample_value("coterie_actions_dead", actions) == 1
        assert registry.get_sample_value("coterie_resource_in_use", {**actions, "resource": "bank"}) == 0
        assert registry.get_sample_value("coterie_resource_waiting", {**actions, "resource": "bank"}) == 0
        states = {
            state: registry.get_sample_value("coterie_circuit", {**actions, "target": "teller", "state": state})
            for state in ("closed", "open", "half-open")
        }
        assert states == {"closed": 0, "open": 1, "half-open": 0}


def test_metrics_are_scraped_over_http() -> None:
    registry = CollectorRegistry()
    with ProcessingEngine() as engine:
        registry.register(WorkCollector(engine))
        server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as page:
                assert b'coterie_workers{engine="processing",kind="threads"} 0.0' in page.read()
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)
