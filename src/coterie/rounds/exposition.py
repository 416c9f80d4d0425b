"""Metrics of simulations in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coterie.rounds.observing import RoundsMetrics
from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies

_OUTCOMES = ("granted", "cut", "refused")


class RoundsSource(Protocol):
    """A source of metrics; a `Simulation` is one."""

    def metrics(self) -> RoundsMetrics:
        """Return the counts of this moment."""
        ...


class RoundsCollector(MetricsCollector[RoundsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(RoundsCollector(simulation, name="fishing"))``.

    It exposes rounds, turns, forfeits, decisions on intents and their times, under the label `simulation`. A scrape holds up no
    round. Raises `ExtraMissing` without `prometheus-client`.
    """

    def __init__(self, *simulations: RoundsSource, name: str = "simulation") -> None:
        super().__init__(*simulations)
        self._name = name

    def fill(self, families: MetricFamilies, sources: Sequence[RoundsSource]) -> None:
        """Add the counts of the simulations."""
        label = ["simulation"]
        rounds = families.counter("coterie_rounds_settled", "Settled rounds.", label)
        turns = families.counter("coterie_rounds_turns", "Turns of agents and groups that ended by themselves.", label)
        forfeits = families.counter("coterie_rounds_forfeits", "Forfeited turns.", label)
        errors = families.counter(
            "coterie_rounds_errors", "Forfeits by an exception, and intents refused because of one.", label
        )
        intents = families.counter("coterie_rounds_intents", "Intents by their outcome.", [*label, "outcome"])
        seconds = families.counter("coterie_rounds_seconds", "Time of settled rounds.", label)
        turn_seconds = families.counter("coterie_rounds_turn_seconds", "Time of turns, which overlap.", label)
        waited = families.gauge("coterie_rounds_waited_seconds", "Waits of agents for others in the current run.", label)
        for number, source in enumerate(sources, 1):
            name = self._name if number == 1 else f"{self._name}~{number}"
            counts = source.metrics()
            rounds.add_metric([name], counts.rounds)
            turns.add_metric([name], counts.turns)
            forfeits.add_metric([name], counts.forfeits)
            errors.add_metric([name], counts.errors)
            for outcome in _OUTCOMES:
                intents.add_metric([name, outcome], getattr(counts, outcome))
            seconds.add_metric([name], counts.seconds)
            turn_seconds.add_metric([name], counts.turn_seconds)
            waited.add_metric([name], counts.waited_seconds)
