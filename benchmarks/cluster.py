"""Agents of two nodes against plain calls of a Ray actor, interleaved: ``python -m benchmarks.cluster ADDRESS``.

The cluster is one that `coterie cluster start --head` and `join` have started, with two nodes.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import ray

from coterie import Agent, AgentRef, Message, Request, on
from coterie.cluster import Cluster

ROUNDS = 5
ASKS, TELLS, CALLS, AGENTS = 300, 50_000, 3_000, 10_000


class Ping(Request[int]):
    n: int


class Note(Message):
    n: int


class Measure(Request[list[float]]):
    """Asks for the seconds of one ask, and of one tell, to another agent."""

    to: AgentRef


class Echo(Agent):
    def __init__(self) -> None:
        self.notes = 0

    @on
    def ping(self, message: Ping) -> int:
        return message.n

    @on
    def note(self, message: Note) -> None:  # noqa: ARG002 - only its arrival counts
        self.notes += 1


class Prober(Agent):
    @on
    def measure(self, message: Measure) -> list[float]:
        began = time.perf_counter()
        for n in range(ASKS):
            message.to.ask(Ping(n)).result()
        asked = time.perf_counter()
        for n in range(TELLS):
            message.to.tell(Note(n))
        message.to.ask(Ping(0), timeout=120).result()
        return [(asked - began) / ASKS, (time.perf_counter() - asked) / TELLS]


class Plain:
    def __init__(self) -> None:
        self.other: Any = None

    def meet(self, other: Any) -> None:
        self.other = other

    def echo(self, data: bytes) -> bytes:
        return data

    def measure(self) -> list[float]:
        began = time.perf_counter()
        for _ in range(ASKS):
            ray.get(self.other.echo.remote(b"x" * 100))
        asked = time.perf_counter()
        ray.get([self.other.echo.remote(b"x" * 100) for _ in range(CALLS)])
        return [(asked - began) / ASKS, (time.perf_counter() - asked) / CALLS]


def main() -> None:
    # The nodes know the classes of this module by its name, which is another for the program that runs it.
    from benchmarks.cluster import Echo, Measure, Ping, Plain, Prober  # noqa: PLC0415

    with Cluster.connect(sys.argv[1], nodes=2, timeout=120.0) as cluster:
        one, two = cluster.nodes()[:2]
        prober, echo = cluster.spawn(Prober, node=one.name), cluster.spawn(Echo, node=two.name)
        remote: Any = ray.remote(num_cpus=0)(Plain)
        plain, other = (
            remote.options(label_selector={"ray.io/node-id": each.machine}, max_concurrency=2).remote() for each in (one, two)
        )
        ray.get(plain.meet.remote(other))
        rows: list[list[float]] = []
        for _ in range(ROUNDS):
            ours = prober.ask(Measure(echo), timeout=300).result()
            raw: list[float] = ray.get(plain.measure.remote())
            rows.append([*ours, *raw])
        ask, tell, call, flood = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"ask between nodes {ask * 1e6:,.0f} us, one Ray call {call * 1e6:,.0f} us: {call / ask:.2f} of it")
        print(f"tells between nodes {1 / tell:,.0f}/s, Ray calls {1 / flood:,.0f}/s: {flood / tell:.1f} times")
        began = time.perf_counter()
        agents = cluster.spawn_many(Echo, AGENTS)
        agents[-1].ask(Ping(1), timeout=60).result()
        print(f"{AGENTS:,} agents on {len(cluster.nodes())} nodes in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
