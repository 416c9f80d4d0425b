"""Metrics of engines and action systems in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coterie.telemetry import MetricsCollector
from coterie.telemetry.collectors import add_threads
from coterie.telemetry.exposition import MetricFamilies, add_durations
from coterie.work.actions import ActionMetrics, CircuitState
from coterie.work.pool.metrics import WorkMetrics

_OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled", "shed")
_QUANTILES = {"0.5": "median", "0.95": "p95", "0.99": "p99"}


class WorkMetricsSource(Protocol):
    """A source of metrics: a `ProcessingEngine` or an `ActionSystem`."""

    def metrics(self) -> WorkMetrics:
        """Return the current metrics."""
        ...


class WorkCollector(MetricsCollector[WorkMetricsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(WorkCollector(engine, system))``.

    Each scrape takes a snapshot and blocks no worker. Raises `ExtraMissing` without `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[WorkMetricsSource]) -> None:
        """Add the metrics of engines and action systems."""
        counter, gauge, summary = families.counter, families.gauge, families.summary
        lane = ["engine", "type"]
        submitted = counter("coterie_jobs_submitted", "Accepted jobs.", lane)
        ended = counter("coterie_jobs_ended", "Ended jobs.", [*lane, "outcome"])
        refused = counter("coterie_jobs_refused", "Jobs refused because their queue was full.", lane)
        retries = counter("coterie_job_retries", "Attempts after the first.", lane)
        queued = gauge("coterie_jobs_queued", "Jobs that wait for a worker.", lane)
        running = gauge("coterie_jobs_running", "Running jobs.", lane)
        oldest = gauge("coterie_job_oldest_wait_seconds", "Wait of the oldest queued job.", lane)
        wait = summary("coterie_job_wait_seconds", "Times that attempts waited for a worker.", lane)
        run = summary("coterie_job_run_seconds", "Run times of attempts.", lane)
        waits = gauge("coterie_job_wait_quantile_seconds", "Recent waits.", [*lane, "quantile"])
        runs = gauge("coterie_job_run_quantile_seconds", "Recent run times.", [*lane, "quantile"])
        workers = gauge("coterie_workers", "Workers.", ["engine", "kind"])
        utilisation = gauge("coterie_worker_utilisation_ratio", "Busy part of the workers.", ["engine"])
        abandoned = gauge("coterie_workers_abandoned", "Threads whose job ended before its function.", ["engine"])
        scaling = gauge("coterie_scaling_events", "Recent changes of the number of workers.", ["engine"])
        errors = counter("coterie_callback_errors", "Callbacks that raised.", ["engine"])
        unheard = counter("coterie_jobs_unheard", "Failures that no caller took in time.", ["engine"])
        retained = gauge("coterie_jobs_retained_bytes", "Estimated size of the results of retained jobs.", ["engine"])
        late = counter("coterie_attempts_late", "Attempts that returned after their job had ended.", ["engine"])
        add_threads(families)
        snapshots = [source.metrics() for source in sources]
        for metrics in snapshots:
            late.add_metric([metrics.name], metrics.late)
            unheard.add_metric([metrics.name], metrics.unheard)
            retained.add_metric([metrics.name], metrics.retained_bytes)
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
                for durations, quantiles, spread in ((wait, waits, counts.wait), (run, runs, counts.run)):
                    add_durations(durations, labels, spread)
                    for quantile, field in _QUANTILES.items():
                        quantiles.add_metric([*labels, quantile], getattr(spread, field))
            for kind, count in metrics.workers.items():
                workers.add_metric([metrics.name, kind], count)
            utilisation.add_metric([metrics.name], metrics.utilisation)
            abandoned.add_metric([metrics.name], metrics.abandoned)
            scaling.add_metric([metrics.name], len(metrics.scaling))
            errors.add_metric([metrics.name], metrics.callback_errors)
        _add_actions(families, [metrics for metrics in snapshots if isinstance(metrics, ActionMetrics)])


def _add_actions(families: MetricFamilies, systems: Sequence[ActionMetrics]) -> None:
    """Add the metrics that only action systems have."""
    gauge = families.gauge
    dropped = families.counter("coterie_actions_dead_dropped", "Dead actions that were dropped above the maximum.", ["engine"])
    dead = gauge("coterie_actions_dead", "Retained dead actions.", ["engine"])
    using = gauge("coterie_resource_in_use", "Actions that use the resource.", ["engine", "resource"])
    waiting = gauge("coterie_resource_waiting", "Actions that wait for the resource.", ["engine", "resource"])
    circuit = gauge("coterie_circuit", "1 for the current state of the circuit.", ["engine", "target", "state"])
    for system in systems:
        dead.add_metric([system.name], system.dead)
        dropped.add_metric([system.name], system.dead_dropped)
        for name, resource in system.resources.items():
            using.add_metric([system.name, name], resource.in_use)
            waiting.add_metric([system.name, name], resource.waiting)
        for target, now in system.circuits.items():
            for state in CircuitState:
                circuit.add_metric([system.name, target, state], float(state is now))


def exposition(*sources: WorkMetricsSource) -> str:
    """Return metrics in the Prometheus text format. Raises `ExtraMissing` without `prometheus-client`."""
    return WorkCollector(*sources).text()
