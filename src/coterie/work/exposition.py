"""Metrics of engines and action systems in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from coterie.errors import ExtraMissing
from coterie.work.actions import ActionMetrics, CircuitState
from coterie.work.pool.metrics import WorkMetrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled", "shed")
_QUANTILES = {"0.5": "median", "0.95": "p95", "0.99": "p99"}


class WorkMetricsSource(Protocol):
    """A source of metrics: a `ProcessingEngine` or an `ActionSystem`."""

    def metrics(self) -> WorkMetrics:
        """Return the current metrics."""
        ...


class WorkCollector:
    """A collector for `prometheus_client`: ``REGISTRY.register(WorkCollector(engine, system))``.

    Each scrape takes a snapshot and blocks no worker. Raises `ExtraMissing` without `prometheus-client`.
    """

    def __init__(self, *sources: WorkMetricsSource) -> None:
        try:
            import prometheus_client  # noqa: F401, PLC0415 - only with the extra
        except ImportError as error:
            raise ExtraMissing("Prometheus exposition", "prometheus") from error
        self._sources = sources

    def describe(self) -> list[Metric]:
        """Return an empty list, which registries accept: the metric names depend on the counts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all current metrics."""
        from prometheus_client.core import (  # noqa: PLC0415 - as above
            CounterMetricFamily,
            GaugeMetricFamily,
            SummaryMetricFamily,
        )

        lane = ["engine", "type"]
        submitted = CounterMetricFamily("coterie_jobs_submitted", "Accepted jobs.", labels=lane)
        ended = CounterMetricFamily("coterie_jobs_ended", "Ended jobs.", labels=[*lane, "outcome"])
        refused = CounterMetricFamily("coterie_jobs_refused", "Jobs refused because their queue was full.", labels=lane)
        retries = CounterMetricFamily("coterie_job_retries", "Attempts after the first.", labels=lane)
        queued = GaugeMetricFamily("coterie_jobs_queued", "Jobs that wait for a worker.", labels=lane)
        running = GaugeMetricFamily("coterie_jobs_running", "Running jobs.", labels=lane)
        oldest = GaugeMetricFamily("coterie_job_oldest_wait_seconds", "Wait of the oldest queued job.", labels=lane)
        wait = SummaryMetricFamily("coterie_job_wait_seconds", "Times that attempts waited for a worker.", labels=lane)
        run = SummaryMetricFamily("coterie_job_run_seconds", "Run times of attempts.", labels=lane)
        waits = GaugeMetricFamily("coterie_job_wait_quantile_seconds", "Recent waits.", labels=[*lane, "quantile"])
        runs = GaugeMetricFamily("coterie_job_run_quantile_seconds", "Recent run times.", labels=[*lane, "quantile"])
        workers = GaugeMetricFamily("coterie_workers", "Workers.", labels=["engine", "kind"])
        utilisation = GaugeMetricFamily("coterie_worker_utilisation_ratio", "Busy part of the workers.", labels=["engine"])
        abandoned = GaugeMetricFamily(
            "coterie_workers_abandoned", "Threads whose job ended before its function.", labels=["engine"]
        )
        scaling = GaugeMetricFamily("coterie_scaling_events", "Recent changes of the number of workers.", labels=["engine"])
        errors = CounterMetricFamily("coterie_callback_errors", "Callbacks that raised.", labels=["engine"])
        late = CounterMetricFamily(
            "coterie_attempts_late", "Attempts that returned after their job had ended.", labels=["engine"]
        )
        snapshots = [source.metrics() for source in self._sources]
        for metrics in snapshots:
            late.add_metric([metrics.name], metrics.late)
            for name, counts in metrics.lanes.items():
                labels = [metrics.name, str(name)]
                submitted.add_metric(labels, counts.submitted)
                refused.add_metric(labels, counts.refused)
                retries.add_metric(labels, counts.retries)
                queued.add_metric(labels, counts.queued)
                running.add_metric(labels, counts.running)
                oldest.add_metric(labels, counts.oldest_wait)
                for outcome in _OUTCOMES:
                    ended.add_metric([*labels, outcome], getattr(counts, outcome))
                for summary, quantiles, spread in ((wait, waits, counts.wait), (run, runs, counts.run)):
                    summary.add_metric(labels, spread.samples, spread.mean * spread.samples)
                    for quantile, field in _QUANTILES.items():
                        quantiles.add_metric([*labels, quantile], getattr(spread, field))
            for kind, count in metrics.workers.items():
                workers.add_metric([metrics.name, kind], count)
            utilisation.add_metric([metrics.name], metrics.utilisation)
            abandoned.add_metric([metrics.name], metrics.abandoned)
            scaling.add_metric([metrics.name], len(metrics.scaling))
            errors.add_metric([metrics.name], metrics.callback_errors)
        yield from (
            submitted, ended, refused, retries, queued, running, oldest, wait, run, waits, runs, workers, utilisation,
            abandoned, scaling, errors, late,
        )  # fmt: skip
        yield from _of_actions([metrics for metrics in snapshots if isinstance(metrics, ActionMetrics)])


def _of_actions(systems: Sequence[ActionMetrics]) -> Iterator[Metric]:
    """Yield the metrics that only action systems have."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - as above

    dead = GaugeMetricFamily("coterie_actions_dead", "Retained dead actions.", labels=["engine"])
    using = GaugeMetricFamily("coterie_resource_in_use", "Actions that use the resource.", labels=["engine", "resource"])
    waiting = GaugeMetricFamily(
        "coterie_resource_waiting", "Actions that wait for the resource.", labels=["engine", "resource"]
    )
    circuit = GaugeMetricFamily(
        "coterie_circuit", "1 for the current state of the circuit.", labels=["engine", "target", "state"]
    )
    for system in systems:
        dead.add_metric([system.name], system.dead)
        for name, resource in system.resources.items():
            using.add_metric([system.name, name], resource.in_use)
            waiting.add_metric([system.name, name], resource.waiting)
        for target, now in system.circuits.items():
            for state in CircuitState:
                circuit.add_metric([system.name, target, state], float(state is now))
    yield from (dead, using, waiting, circuit)


def exposition(*sources: WorkMetricsSource) -> str:
    """Return metrics in the Prometheus text format. Raises `ExtraMissing` without `prometheus-client`."""
    collector = WorkCollector(*sources)
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only with the extra

    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()
