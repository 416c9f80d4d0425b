"""How others fare while some agents hold their threads. Probed open-loop: from when a probe was due, not sent."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

from benchmarks.agents import Add, Counter, Crash, Hold
from benchmarks.harness import Row, Spread, quantile
from coterie import AgentRef, Backoff, Dedicated, HandlerFailed, Leased, Runtime, Supervision
from coterie.runtime import Dispatcher

EVERY = 0.01
REPEATED = 5
HELD = 1.5
"""Seconds for which one agent holds its thread."""


class Probes:
    """Asks one agent after the other, one every ten milliseconds, on a thread of its own, whatever comes back."""

    def __init__(self, agents: list[AgentRef], seconds: float) -> None:
        self.latencies: list[float] = []
        self._agents = agents
        self._count = int(seconds / EVERY)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        began = time.perf_counter()
        replies = []
        for n in range(self._count):
            due = began + n * EVERY
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            reply = self._agents[n % len(self._agents)].ask(Add(1))
            reply.add_callback(lambda due=due: self.latencies.append(time.perf_counter() - due))  # type: ignore[misc] # bound by default
            replies.append(reply)
        for reply in replies:
            reply.result()

    def join(self) -> list[float]:
        self._thread.join()
        return self.latencies


def while_one_holds(dispatcher: Dispatcher, name: str, *, burn: bool) -> list[Row]:
    """Fifty agents answer while one sleeps, or burns the processor."""
    latencies: list[float] = []
    slowest: list[float] = []
    with Runtime(dispatcher=dispatcher) as runtime:
        agents = [runtime.spawn(Counter) for _ in range(50)]
        for agent in agents:
            agent.ask(Add(1)).result()
        gc.collect()
        for _ in range(REPEATED):
            probes = Probes(agents[1:], HELD)
            agents[0].ask(Hold(HELD, burn)).result()
            found = probes.join()
            slowest.append(1e3 * quantile(found, 0.99))
            latencies += found
    worst = max(latencies)
    limit = 10 if burn else 3
    p99 = Spread.of(slowest)
    return [
        Row(
            f"50 agents, one {'burns' if burn else 'sleeps'}, {name}: the others",
            f"p50 {1e3 * quantile(latencies, 0.5):.2f} ms, p99 {p99} ms, worst {1e3 * worst:.1f} ms",
            f"p99 under {limit} ms, none over 100 ms",
            p99.median < limit and worst < 0.1,
        )
    ]


def while_many_sleep() -> list[Row]:
    """Of three thousand leased agents two hundred sleep for a second in their handlers."""
    with Runtime(dispatcher=Leased(idle_after=2.0)) as runtime:
        agents = [runtime.spawn(Counter) for _ in range(3_000)]
        for agent in agents:
            agent.ask(Add(1)).result()
        gc.collect()
        peaks, slowest, latencies = [], [], []
        for _ in range(REPEATED):
            probes = Probes(agents[200:], 1.5)
            time.sleep(0.1)
            replies = [agent.ask(Hold(1.0, burn=False)) for agent in agents[:200]]
            for reply in replies:
                reply.result()
            peaks.append(runtime.metrics().threads)
            found = probes.join()
            slowest.append(1e3 * quantile(found, 0.99))
            latencies += found
        end = time.perf_counter() + 10
        while runtime.metrics().threads > 6 and time.perf_counter() < end:
            time.sleep(0.05)
        after = runtime.metrics().threads
    p99 = Spread.of(slowest)
    return [
        Row(
            "200 of 3,000 leased agents sleep 1 s: the others",
            f"p50 {1e3 * quantile(latencies, 0.5):.2f} ms, p99 {p99} ms, worst {1e3 * max(latencies):.1f} ms",
            "p99 under 50 ms",
            p99.median < 50,
        ),
        Row("… threads at the peak, and afterwards", f"{max(peaks)}, {after}", "back to a few", after <= 6),
    ]


def while_one_crashes() -> list[Row]:
    """One agent of fifty crashes under load, again and again."""
    backoff = 0.05
    policy = Supervision(max_restarts=1_000, backoff=Backoff(backoff, factor=1.0, maximum=backoff, jitter=0.0))
    gaps = []
    with Runtime(supervision=policy) as runtime:
        agents = [runtime.spawn(Counter) for _ in range(50)]
        probes = Probes(agents[1:], 3.0)
        for _ in range(20):
            agents[0].tell(Crash())
            began = time.perf_counter()
            agents[0].ask(Add(1)).result()
            gaps.append(time.perf_counter() - began)
        probes.join()
        failed = sum(metrics.failed for name, metrics in runtime.metrics().agents.items() if name != agents[0].name)
        try:
            agents[0].ask(Add(1)).result()
        except HandlerFailed:
            failed += 1
    over = 1e3 * (max(gaps) - backoff)
    return [
        Row(
            "an agent crashes under load: next answer after its backoff",
            f"worst of 20: {over:.1f} ms",
            "within 20 ms",
            over < 20,
        ),
        Row("… errors of the others", str(failed), "0", failed == 0),
    ]


def first_restarts() -> list[Row]:
    """The time from a failure to the next answer, at the first failure of an agent and at the second, by the default policy."""
    took: dict[str, list[float]] = {"first": [], "second": []}
    with Runtime() as runtime:
        for _ in range(20):
            agent = runtime.spawn(Counter)
            agent.ask(Add(1)).result()
            for times in took.values():
                agent.tell(Crash())
                began = time.perf_counter()
                agent.ask(Add(1)).result()
                times.append(1e3 * (time.perf_counter() - began))
    first, second = Spread.of(took["first"]), Spread.of(took["second"])
    figure = f"{first} ms; after the second failure, with its backoff, {second} ms"
    return [Row("first restart of an agent that failed: the next answer", figure, "at once, under 5 ms", first.median < 5)]


def all_rows() -> Iterator[Row]:
    for name, dispatcher in (("leased", Leased()), ("dedicated", Dedicated())):
        for burn in (False, True):
            yield from while_one_holds(dispatcher, name, burn=burn)
    yield from while_many_sleep()
    yield from while_one_crashes()
