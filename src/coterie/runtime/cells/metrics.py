"""Counts and times, as values that are copied out of the running system."""

from __future__ import annotations

from typing import Protocol

import msgspec

from coterie.concurrency import PROCESS_THREADS, ThreadUse
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
    """The counts of one agent, or the sums of a runtime. Each sent message ends in exactly one of them.

    ``sent == handled + failed + cancelled + expired + rejected + dead + queued``, plus the messages that are being handled or
    wait for room; exact when no agent is active.
    """

    sent: int = 0
    handled: int = 0
    """Messages whose handler returned."""
    failed: int = 0
    """Messages whose handler raised."""
    cancelled: int = 0
    """Messages whose ask ended before their handler began, or whose handler was cancelled."""
    expired: int = 0
    """Messages whose time ran out before their handler began."""
    rejected: int = 0
    """Messages that a full mailbox refused."""
    dead: int = 0
    """Messages without an agent or a handler, and messages that were dropped to make room."""
    queued: int = 0
    """Messages that are in the mailbox now, or postponed."""
    waiting: int = 0
    """Messages that wait outside the full mailbox now. They do not count as sent yet."""
    restarts: int = 0
    late: int = 0
    """Handled messages whose answer came after the ask had ended."""
    latencies: Latencies | None = None

    def plus(self, other: AgentMetrics) -> AgentMetrics:
        """Return the sums of the counts, without latencies."""
        names = [name for name in self.__struct_fields__ if name != "latencies"]
        return AgentMetrics(**{name: getattr(self, name) + getattr(other, name) for name in names})


class RuntimeMetrics(msgspec.Struct, frozen=True):
    """The counts of a runtime."""

    totals: AgentMetrics
    """Over all agents, including ended ones, and over messages to agents that never existed."""
    agents: dict[str, AgentMetrics]
    """The counts of living agents, by name."""
    spawned: int
    """Agents started so far."""
    threads: int
    """Threads that run agents, their timers and their blocking calls now."""
    dead_letters: dict[str, int]
    """Dead letters by reason."""
    link: dict[str, int]
    """The counts of the link to other nodes, in frames."""
    durable_active: int = 0
    """Durable agents that are active now; part of `agents`."""
    process: ThreadUse = msgspec.field(default_factory=PROCESS_THREADS.use)
    """All threads of the process, and which part holds how many."""


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
