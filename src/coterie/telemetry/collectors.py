"""Metrics of the process and of its databases in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coterie.concurrency import PROCESS_THREADS
from coterie.storage.database import StorageStatistics
from coterie.telemetry.exposition import MetricFamilies, MetricsCollector


class StatisticsSource(Protocol):
    """A source of metrics: an open database of `coterie.storage`."""

    @property
    def name(self) -> str:
        """The path, or the address without its password."""
        ...

    def statistics(self) -> StorageStatistics:
        """Return the counts since it was opened."""
        ...


class StorageCollector(MetricsCollector[StatisticsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(StorageCollector(database))``.

    Raises `ExtraMissing` without `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[StatisticsSource]) -> None:
        """Add the counts of databases."""
        label = ["database"]
        writes = families.counter("coterie_storage_writes", "Writes by outcome.", [*label, "outcome"])
        commits = families.counter("coterie_storage_commits", "Transactions of the committed writes.", label)
        reconnects = families.counter("coterie_storage_reconnects", "Reconnects to a lost server.", label)
        queued = families.gauge("coterie_storage_queued", "Writes in the queue.", label)
        readers = families.gauge("coterie_storage_readers", "Open read connections.", label)
        for database in {id(each): each for each in sources}.values():
            counts, name = database.statistics(), database.name
            writes.add_metric([name, "stored"], counts.stored)
            writes.add_metric([name, "failed"], counts.failed)
            commits.add_metric([name], counts.commits)
            reconnects.add_metric([name], counts.reconnects)
            queued.add_metric([name], counts.queued)
            readers.add_metric([name], counts.readers)


class ProcessThreadsCollector(MetricsCollector[None]):
    """A collector for `prometheus_client`: the threads of this process, by the part of Coterie that holds them.

    Raises `ExtraMissing` without `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[None]) -> None:  # noqa: ARG002 - there is one process
        """Add the threads of the process."""
        add_threads(families)


def add_threads(families: MetricFamilies) -> None:
    """Add the threads of the process, unless they are there."""
    if families.has("coterie_threads"):
        return
    use = PROCESS_THREADS.use()
    held = families.gauge("coterie_threads", "Threads of the process.", ["part"])
    for part, count in use.parts.items():
        held.add_metric([part], count)
    for name, meaning, value in (
        ("coterie_threads_limit", "Threads that the process may have.", use.limit),
        ("coterie_threads_abandoned", "Threads in functions that do not return.", use.abandoned),
        ("coterie_threads_abandoned_limit", "Threads that the process may abandon.", use.abandoned_limit),
    ):
        families.gauge(name, meaning, []).add_metric([], value)
