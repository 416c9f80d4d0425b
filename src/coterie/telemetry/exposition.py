"""Metrics in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from coterie.errors import ExtraMissing
from coterie.telemetry.durations import DurationSummary

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

S = TypeVar("S")
M = TypeVar("M", bound="Metric")


class MetricFamilies:
    """The metric families of one scrape, in the order in which they were made. Several collectors may add to one family."""

    def __init__(self) -> None:
        from prometheus_client import core  # noqa: PLC0415 - only with the extra

        self._core = core
        self._by_name: dict[str, Any] = {}

    @property
    def all(self) -> list[Metric]:
        """The families."""
        return list(self._by_name.values())

    def has(self, name: str) -> bool:
        """Return whether there is a family of that name."""
        return name in self._by_name

    def counter(self, name: str, meaning: str, labels: Sequence[str]) -> CounterMetricFamily:
        """Add a counter."""
        return self._add(self._core.CounterMetricFamily, name, meaning, labels)

    def gauge(self, name: str, meaning: str, labels: Sequence[str]) -> GaugeMetricFamily:
        """Add a gauge."""
        return self._add(self._core.GaugeMetricFamily, name, meaning, labels)

    def summary(self, name: str, meaning: str, labels: Sequence[str]) -> SummaryMetricFamily:
        """Add a summary; see `add_durations`."""
        return self._add(self._core.SummaryMetricFamily, name, meaning, labels)

    def _add(self, kind: Callable[..., M], name: str, meaning: str, labels: Sequence[str]) -> M:
        family: M | None = self._by_name.get(name)
        if family is None:
            family = self._by_name[name] = kind(name, meaning, labels=labels)
        return family


def add_durations(family: SummaryMetricFamily, labels: Sequence[str], durations: DurationSummary) -> None:
    """Add the count and the sum of durations to a summary."""
    family.add_metric(labels, durations.samples, durations.total)


class MetricsCollector(ABC, Generic[S]):
    """Base of the collectors for `prometheus_client`, over sources of metrics: ``REGISTRY.register(collector)``.

    Subclasses override `fill`. Raises `ExtraMissing` without `prometheus-client`.
    """

    def __init__(self, *sources: S) -> None:
        try:
            import prometheus_client  # noqa: F401, PLC0415 - only with the extra
        except ImportError as error:
            raise ExtraMissing("Prometheus exposition", "prometheus") from error
        self._sources = sources

    @abstractmethod
    def fill(self, families: MetricFamilies, sources: Sequence[S]) -> None:
        """Add the current metrics of the sources to the families of a scrape."""

    def describe(self) -> list[Metric]:
        """Return an empty list, which registries accept: the metric names depend on the counts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all current metrics."""
        families = MetricFamilies()
        self.add_to(families)
        yield from families.all

    def add_to(self, families: MetricFamilies) -> None:
        """Add all current metrics to the families of a scrape."""
        self.fill(families, self._sources)

    def text(self) -> str:
        """Return all current metrics in the Prometheus text format."""
        return prometheus_text(self)


def prometheus_text(*collectors: MetricsCollector[Any]) -> str:
    """Return the current metrics of several collectors as one text in the Prometheus format, for one page of metrics.

    Families of one name become one. Raises `ExtraMissing` without `prometheus-client`.
    """
    try:
        from prometheus_client import generate_latest  # noqa: PLC0415 - only with the extra
    except ImportError as error:
        raise ExtraMissing("Prometheus exposition", "prometheus") from error
    families = MetricFamilies()
    for collector in collectors:
        collector.add_to(families)
    return generate_latest(_Page(families)).decode()


class _Page:
    """The families of one scrape, as the library takes them."""

    def __init__(self, families: MetricFamilies) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families.all
