"""Agents beside Ray's actors: in one process, and on two nodes of a cluster; and a simulation over both beside one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, Row, Spread, compare
from benchmarks.throughput import versus
from coterie import Agent, AgentRef, MailboxPolicy, Message, Request, Runtime, on
from coterie.rounds import Graph, Simulation, Turn
from coterie.world import World, resolvers

ASKS, TELLS, CALLS, AGENTS, ROUNDS = 200, 20_000, 1_000, 10_000, 5
THINKERS = 1_000
_STORE = 80_000_000


class Ping(Request[int]):
    n: int


class Note(Message):
    n: int


class MeasureAsks(Request[float]):
    """Asks for the asks a second to another agent."""

    to: AgentRef


class MeasureTells(Request[float]):
    """Asks for the tells a second to another agent, until the last was handled."""

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
    def asks(self, message: MeasureAsks) -> float:
        began = time.perf_counter()
        for n in range(ASKS):
            message.to.ask(Ping(n)).result()
        return ASKS / (time.perf_counter() - began)

    @on
    def tells(self, message: MeasureTells) -> float:
        began = time.perf_counter()
        for n in range(TELLS):
            message.to.tell(Note(n))
        message.to.ask(Ping(0), timeout=120).result()
        return TELLS / (time.perf_counter() - began)


class Plain:
    """A plain Ray actor."""

    def __init__(self) -> None:
        self.other: Any = None

    def meet(self, other: Any) -> None:
        self.other = other

    def echo(self, data: bytes) -> bytes:
        return data

    def asks(self) -> float:
        import ray  # noqa: PLC0415 - it takes a second

        began = time.perf_counter()
        for _ in range(ASKS):
            ray.get(self.other.echo.remote(b"x" * 100))
        return ASKS / (time.perf_counter() - began)

    def tells(self) -> float:
        import ray  # noqa: PLC0415 - as above

        began = time.perf_counter()
        ray.get([self.other.echo.remote(b"x" * 100) for _ in range(CALLS)])
        return CALLS / (time.perf_counter() - began)


class Thinker:
    """An agent of a simulation that waits for a model, and then takes what the answer says."""

    def __init__(self, wait: float) -> None:
        self.wait = wait

    async def think(self, turn: Turn) -> int:
        await asyncio.sleep(self.wait)
        amount = turn.random.randrange(3)
        turn.intend("take", amount=amount)
        return amount


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    """Start Ray on this machine with two nodes, and connect to it. Raises whatever Ray raises if it cannot start."""
    _prepare_ray()
    from ray.cluster_utils import Cluster as RayCluster  # noqa: PLC0415 - it takes a second

    from coterie.cluster import Cluster  # noqa: PLC0415 - needs the extra

    machines: Any = RayCluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
    )
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    try:
        for name in ("left", "right"):
            machines.add_node(
                wait=False,
                num_cpus=1,
                object_store_memory=_STORE,
                labels={"coterie.io/node": name},
                env_vars={"PYTHONPATH": path},
            )
        with Cluster.connect(machines.address, nodes=2, timeout=120.0) as cluster:
            yield cluster
    finally:
        machines.shutdown()


def all_rows() -> Iterator[Row]:
    """Yield the rows as they are measured: it takes some minutes."""
    with contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(two_nodes())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the machine's
            yield Row("cluster", f"left out: Ray cannot start on this machine: {error}")
            return
        yield from _messages(cluster)
        yield from _spawning(cluster)
        yield from _simulation(cluster, 0.05, 5)
        yield from _simulation(cluster, 0.5, 2)


def _messages(cluster: Any) -> list[Row]:
    """Compare messages between agents of two nodes with calls between two Ray actors on the same machines."""
    import ray  # noqa: PLC0415 - it takes a second

    one, two = cluster.nodes()[:2]
    prober, echo = cluster.spawn(Prober, node=one.name), cluster.spawn(Echo, node=two.name)
    remote: Any = ray.remote(num_cpus=0)(Plain)
    plain, other = (
        remote.options(label_selector={"ray.io/node-id": each.machine}, max_concurrency=2).remote() for each in (one, two)
    )
    ray.get(plain.meet.remote(other))
    asks = compare(
        {"coterie": lambda: prober.ask(MeasureAsks(echo), timeout=300).result(), "Ray": lambda: ray.get(plain.asks.remote())},
        rounds=ROUNDS,
    )
    tells = compare(
        {"coterie": lambda: prober.ask(MeasureTells(echo), timeout=300).result(), "Ray": lambda: ray.get(plain.tells.remote())},
        rounds=ROUNDS,
    )
    from_outside = compare({"coterie": lambda: _asks_from_here(echo), "Ray": lambda: _calls_from_here(other)}, rounds=ROUNDS)
    for each in (plain, other):
        ray.kill(each)
    fast = tells.median("coterie")
    return [
        *versus("ask between two nodes", asks, "coterie", ("Ray", 0.8, "at least")),
        *versus("tell between two nodes", tells, "coterie", ("Ray", 20.0, "at least")),
        Row("tell between two nodes: a second", f"{fast:,.0f}", "at least 100,000", fast >= 100_000),
        *versus("ask from a program to a node", from_outside, "coterie", ("Ray", 0.8, "aim for")),
    ]


def one_machine() -> Iterator[Row]:
    """Yield asks and tells between two agents of one process, beside calls between two Ray actors of one machine."""
    _prepare_ray()
    try:
        import ray  # noqa: PLC0415 - it takes a second
    except ImportError:
        yield Row("Ray's actors on one machine", "left out: Ray is not installed")
        return
    try:
        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=_STORE, log_to_driver=False)
    except Exception as error:  # noqa: BLE001 - as above
        yield Row("Ray's actors on one machine", f"left out: Ray cannot start on this machine: {error}")
        return
    try:
        with Runtime(mailbox=MailboxPolicy(10 * TELLS)) as runtime:
            prober, echo = runtime.spawn(Prober), runtime.spawn(Echo)
            remote: Any = ray.remote(num_cpus=0)(Plain)
            plain, other = remote.options(max_concurrency=2).remote(), remote.options(max_concurrency=2).remote()
            ray.get(plain.meet.remote(other))
            asks = compare(
                {"leased": lambda: prober.ask(MeasureAsks(echo)).result(), "Ray": lambda: ray.get(plain.asks.remote())},
                rounds=ROUNDS,
            )
            tells = compare(
                {"leased": lambda: prober.ask(MeasureTells(echo)).result(), "Ray": lambda: ray.get(plain.tells.remote())},
                rounds=ROUNDS,
            )
    finally:
        ray.shutdown()
    yield from versus("ask between two agents of one machine, blocking", asks, "leased", ("Ray", 1, "at least"))
    yield from versus("tell between two agents of one machine", tells, "leased", ("Ray", 20, "at least"))


def _prepare_ray() -> None:
    # The niceness is the one that `coterie cluster start` gives; both sides of a comparison have it.
    os.environ.update(
        RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_worker_niceness="0"
    )


def _asks_from_here(echo: AgentRef) -> float:
    began = time.perf_counter()
    for n in range(ASKS):
        echo.ask(Ping(n)).result()
    return ASKS / (time.perf_counter() - began)


def _calls_from_here(other: Any) -> float:
    import ray  # noqa: PLC0415 - it takes a second

    began = time.perf_counter()
    for _ in range(ASKS):
        ray.get(other.echo.remote(b"x" * 100))
    return ASKS / (time.perf_counter() - began)


def _spawning(cluster: Any) -> list[Row]:
    """Spawn many agents on both nodes, several times, and ask one of them."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        agents = cluster.spawn_many(Echo, AGENTS)
        agents[-1].ask(Ping(1), timeout=60).result()
        times.append(time.perf_counter() - began)
        for each in agents:
            each.stop()
        agents[-1].stop().result(60)
    took = Spread.of(times)
    return [Row(f"{AGENTS:,} agents spawned on two nodes: seconds", str(took), "under 5", took.median < 5)]


def _simulation(cluster: Any, wait: float, turns: int) -> list[Row]:
    """Compare a simulation of agents that wait for a model in one process with one over both nodes."""
    from coterie.cluster import HostedAgents, Placement  # noqa: PLC0415 - needs the extra

    names = [f"thinker-{n}" for n in range(THINKERS)]
    digests = set()

    def rounds(agents: Mapping[str, Any]) -> float:
        world = World({"lake": 10 * THINKERS * turns})
        simulation = Simulation(
            world, agents, Graph.chain("think"), resolver=resolvers.Rationing("lake", into="basket/{agent}")
        )
        began = time.perf_counter()
        simulation.run(turns)
        took = time.perf_counter() - began
        digests.add(world.digest())
        return turns / took

    # The modules of nodes know the class by the name of this module, which is another for a program that runs it.
    from benchmarks.cluster import Thinker as Hosted  # noqa: PLC0415

    hosted = HostedAgents(cluster, dict.fromkeys(names, (Hosted, wait)), Placement(strategy="spread"))
    with hosted:
        result = compare(
            {
                "over two nodes": lambda: rounds(hosted.agents),
                "one process": lambda: rounds({name: Thinker(wait) for name in names}),
            },
            rounds=5,
        )
    same = "the same outcome" if len(digests) == 1 else "ANOTHER OUTCOME"
    ratio = Spread.of(1 / each for each in _ratios(result))
    what = f"{THINKERS:,} agents that wait {1000 * wait:.0f} ms for a model"
    return [
        Row(f"rounds of {what}", f"{result}; {same}"),
        Row(f"{what}: time over two nodes / in one process", str(ratio), "at most 1.2", ratio.median <= 1.2),
    ]


def _ratios(result: Comparison) -> list[float]:
    pairs = zip(result.rates["over two nodes"], result.rates["one process"], strict=True)
    return [one / two for one, two in pairs]
