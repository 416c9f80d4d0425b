"""Metrics of runtimes in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from coterie.runtime.cells.metrics import RuntimeMetrics
from coterie.runtime.observation.health import AgentHealth, AgentState
from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies

_OUTCOMES = ("handled", "failed", "cancelled", "expired", "rejected", "dead")


class RuntimeMetricsSource(Protocol):
    """A source of metrics: a `Runtime`."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    def metrics(self) -> RuntimeMetrics:
        """Return the current counts."""
        ...

    def health(self) -> Mapping[str, AgentHealth]:
        """Return the health of each agent, by name."""
        ...


class RuntimeCollector(MetricsCollector[RuntimeMetricsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(RuntimeCollector(runtime))``.

    It exposes sums over all agents, and how many agents are in which state; `Runtime.metrics` has the counts of each. A scrape
    holds up no agent. Raises `ExtraMissing` without `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[RuntimeMetricsSource]) -> None:
        """Add the metrics of runtimes."""
        label = ["runtime"]
        sent = families.counter("coterie_messages_sent", "Messages sent to agents.", label)
        ended = families.counter("coterie_messages_ended", "Messages by outcome.", [*label, "outcome"])
        letters = families.counter("coterie_dead_letters", "Dead letters by reason.", [*label, "reason"])
        queued = families.gauge("coterie_messages_queued", "Messages in mailboxes, or postponed.", label)
        waiting = families.gauge("coterie_messages_waiting", "Messages that wait outside full mailboxes.", label)
        restarts = families.counter("coterie_agent_restarts", "Restarts of living agents.", label)
        spawned = families.counter("coterie_agents_spawned", "Agents started so far.", label)
        agents = families.gauge("coterie_agents", "Living agents by state.", [*label, "state"])
        threads = families.gauge("coterie_runtime_threads", "Threads of the runtime.", label)
        durable = families.gauge("coterie_durable_agents_active", "Durable agents that are active.", label)
        frames = families.counter("coterie_link_frames", "Frames of the link to other nodes.", [*label, "outcome"])
        for runtime in sources:
            metrics, node = runtime.metrics(), runtime.node
            totals = metrics.totals
            sent.add_metric([node], totals.sent)
            for outcome in _OUTCOMES:
                ended.add_metric([node, outcome], getattr(totals, outcome))
            for reason, count in metrics.dead_letters.items():
                letters.add_metric([node, str(reason)], count)
            queued.add_metric([node], totals.queued)
            waiting.add_metric([node], totals.waiting)
            restarts.add_metric([node], totals.restarts)
            spawned.add_metric([node], metrics.spawned)
            threads.add_metric([node], metrics.threads)
            durable.add_metric([node], metrics.durable_active)
            for outcome, count in metrics.link.items():
                frames.add_metric([node, outcome], count)
            states = Counter(each.state for each in runtime.health().values())
            for state in AgentState:
                agents.add_metric([node, state], states[state])
