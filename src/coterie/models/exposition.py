"""Metrics of model gateways in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coterie.models.policies import CallMetrics
from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies, add_durations


class CallMetricsSource(Protocol):
    """A source of metrics: a `ModelGateway`."""

    @property
    def name(self) -> str:
        """The name of the model."""
        ...

    def metrics(self) -> CallMetrics:
        """Return the totals of requests, replies and spending."""
        ...


class ModelCollector(MetricsCollector[CallMetricsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(ModelCollector(gateway))``.

    It exposes the totals of each gateway under the label `model`. A scrape holds up no request. Raises `ExtraMissing` without
    `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[CallMetricsSource]) -> None:
        """Add the metrics of gateways."""
        label = ["model"]
        requests = families.counter("coterie_model_requests", "Requests that have ended.", [*label, "outcome"])
        errors = families.counter("coterie_model_errors", "Failed requests by error.", [*label, "error"])
        retries = families.counter("coterie_model_retries", "Attempts after the first.", label)
        tokens = families.counter("coterie_model_tokens", "Tokens of prompts and replies.", [*label, "direction"])
        dollars = families.counter("coterie_model_dollars", "The sum of known prices, in US dollars.", label)
        latency = families.summary("coterie_model_request_seconds", "From the request to the end of the reply.", label)
        first = families.summary("coterie_model_first_piece_seconds", "From the request to the first piece.", label)
        wait = families.summary("coterie_model_wait_seconds", "The wait of attempts for their turn.", label)
        for gateway in sources:
            metrics, name = gateway.metrics(), gateway.name
            for outcome in ("answered", "failed", "cancelled"):
                requests.add_metric([name, outcome], getattr(metrics, outcome))
            for error, count in metrics.errors.items():
                errors.add_metric([name, error], count)
            retries.add_metric([name], metrics.retries)
            tokens.add_metric([name, "input"], metrics.input_tokens)
            tokens.add_metric([name, "output"], metrics.output_tokens)
            dollars.add_metric([name], metrics.dollars)
            add_durations(latency, [name], metrics.latency)
            add_durations(first, [name], metrics.first_piece)
            add_durations(wait, [name], metrics.wait)
