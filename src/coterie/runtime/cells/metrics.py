"""Counts and times, as values that are copied out of the running system."""

from __future__ import annotations

from typing import Protocol

import msgspec

from coterie.telemetry import DurationSummary
from coterie.telemetry.durations import DurationRecorder

_KEPT = 256
"""The number of latest times that quantiles are taken over."""


class Latencies(msgspec.Struct, frozen=True):
    """Waiting times in the mailbox and run times of handlers, sampled for one message in sixteen."""

    samples: int
    wait: DurationSummary
    run: DurationSummary


class AgentMetrics(msgspec.Struct, frozen=True):
    """The counts of one agent, or, summed, of a runtime. Each message that was sent ends in exactly one of them.

    ``sent == handled + failed + cancelled + expired + rejected + dead + queued``, plus what is in hand, or waiting for
    room, at this moment; exact when nothing moves.
    """

    sent: int = 0
    handled: int = 0
    """Its handler ended well."""
    failed: int = 0
    """Its handler raised."""
    cancelled: int = 0
    """Its ask ended before its handler began, or its handler was cancelled."""
    expired: int = 0
    """Its time ran out before its handler began."""
    rejected: int = 0
    """The mailbox was full."""
    dead: int = 0
    """The agent or a handler was missing, or the message was dropped to make room."""
    queued: int = 0
    """In the mailbox now."""
    restarts: int = 0
    late: int = 0
    """Of the handled: the answer came after the ask had ended."""
    latencies: Latencies | None = None

    def plus(self, other: AgentMetrics) -> AgentMetrics:
        """Return the sums of the counts, without latencies."""
        names = [name for name in self.__struct_fields__ if name != "latencies"]
        return AgentMetrics(**{name: getattr(self, name) + getattr(other, name) for name in names})


class RuntimeMetrics(msgspec.Struct, frozen=True):
    """The counts of a runtime."""

    totals: AgentMetrics
    """Over all agents, those that have ended included, and what was sent to agents that never were."""
    agents: dict[str, AgentMetrics]
    """The living, by name."""
    spawned: int
    """Agents started so far."""
    threads: int
    """Threads that run agents, their timers and their blocking calls now."""
    dead_letters: dict[str, int]
    """Dead letters by reason."""
    link: dict[str, int]
    """What has gone over the link to other nodes, in frames."""


class TimesRecorder(Protocol):
    """Records times of one agent. Called on the agent's thread."""

    def record_times(self, waited: float, took: float) -> None:
        """Record how long a message waited, and how long its handler took, in seconds."""
        ...


class Times:
    """The latest times of one agent. Written by its thread; `latencies` may be called by any."""

    __slots__ = ("_run", "_wait")

    def __init__(self) -> None:
        self._wait, self._run = DurationRecorder(_KEPT), DurationRecorder(_KEPT)

    def add(self, waited: float, took: float) -> None:
        """Record one message."""
        self._wait.record(waited)
        self._run.record(took)

    def latencies(self) -> Latencies:
        """Return the quantiles over the latest messages."""
        wait = self._wait.summary()
        return Latencies(wait.samples, wait, self._run.summary())
