"""All tests that need Ray, in one file: the tests of a file share a worker, and so one cluster."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
import ray

from coterie import Dedicated, Leased, MailboxPolicy, Runtime
from coterie.cli import cluster as commands
from coterie.cluster import Cluster, HostedAgents, Placement
from coterie.cluster.probing import probe
from coterie.errors import DefinitionError, DeliveryError, EncodeFailed, InvalidSetting, MailboxFull, NameTaken
from coterie.errors.cluster import ClusterUnavailable
from coterie.rounds import Graph, RoundResult, Simulation, together
from coterie.testing.conformance import RuntimeConformance
from coterie.testing.waiting import eventually
from coterie.world import World, resolvers
from tests.cluster.conftest import Machines
from tests.cluster.mirror import ThroughRay, start_mirror
from tests.cluster.people import (
    Account,
    Add,
    Balance,
    Big,
    Bump,
    Counter,
    Deposit,
    Downs,
    Later,
    Listener,
    Peer,
    Relay,
    Shout,
    Sleep,
    Slow,
    Speaker,
    Start,
    Transfer,
    Watcher,
    Where,
)
from tests.rounds.fishing import NAMES, Fisher, Quota, judge, settle

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mirror(cluster: Cluster) -> Any:
    return start_mirror("mirror")


class TestOverRay(RuntimeConformance):
    sender_sees_full = False
    arrives_at_once = False
    mirror_actor: ClassVar[Any]

    @pytest.fixture(autouse=True)
    def meet(self, mirror: Any) -> None:
        type(self).mirror_actor = mirror

    def runtime(self, **options: Any) -> Runtime:
        return Runtime(dispatcher=Leased(), strict=True, transport=ThroughRay(self.mirror_actor), link_patience=10.0, **options)


# Agents on nodes.


def test_an_agent_is_spawned_where_it_should_be_and_found_by_name(cluster: Cluster) -> None:
    pinned = cluster.spawn(Counter, Start(5), name="pinned", node="a", step=2)
    assert pinned.ask(Add(1)).result(10) == 7
    assert pinned.ask(Where()).result(10) == "a"
    assert cluster.find("pinned") == pinned
    assert cluster.find("nowhere") is None
    beside = cluster.spawn(Counter, placement=Placement(beside=pinned))
    gpu = cluster.spawn(Counter, placement=Placement(resources={"gpu": 1}))
    labelled = cluster.spawn(Counter, placement=Placement(labels={"zone": "x"}))
    assert {each.ask(Where()).result(10) for each in (beside, gpu, labelled)} == {"a"}
    spread = [cluster.spawn(Counter, placement=Placement(strategy="spread")) for _ in range(4)]
    assert sorted(each.ask(Where()).result(10) for each in spread) == ["a", "a", "b", "b"]
    # Agents of different nodes ask each other.
    peers = [cluster.spawn(Peer, node=node) for node in ("a", "b")]
    assert peers[0].ask(Relay(peers[1], 3)).result(10) == 3
    assert peers[1].ask(Relay(pinned, 1)).result(10) == 9
    # Policies go along.
    small = cluster.spawn(Counter, node="b", mailbox=MailboxPolicy.reject(1))
    slow = small.ask(Sleep(1.0))
    full = [small.ask(Add(1)) for _ in range(20)]
    eventually(lambda: all(each.done for each in full), timeout=20.0)
    assert any(isinstance(each.exception(), MailboxFull) for each in full)
    assert slow.result(10) == 1
    pinned.stop().result(10)
    assert cluster.find("pinned") is None
    assert cluster.spawn(Counter, name="pinned", node="b").ask(Where()).result(10) == "b"


def test_many_agents_are_spread_over_the_nodes(cluster: Cluster) -> None:
    agents = cluster.spawn_many(Counter, [(Start(n),) for n in range(200)])
    assert [reply.result(20) for reply in [each.ask(Add(1)) for each in agents]] == list(range(1, 201))
    places = [reply.result(20) for reply in [each.ask(Where()) for each in agents]]
    assert 60 <= places.count("a") <= 140
    for each in agents:
        each.stop()


def test_topics_and_broadcasts_reach_all_nodes(cluster: Cluster) -> None:
    listeners = [cluster.spawn(Listener, node=node) for node in ("a", "b")] + [cluster.runtime.spawn(Listener)]
    for each in listeners:
        each.ask(Add(0)).result(10)
    cluster.runtime.publish("news", Bump(1))
    cluster.spawn(Speaker, node="b").ask(Shout(2)).result(10)
    for each in listeners:
        eventually(lambda: each.ask(Add(0)).result(10) == 3)
    cluster.runtime.broadcast(Bump(4))
    for each in listeners:
        eventually(lambda: each.ask(Add(0)).result(10) == 7)
        each.stop()


def test_bad_input_is_one_clear_error_each(cluster: Cluster, machines: Machines) -> None:
    cluster.spawn(Counter, name="taken", node="a")
    with pytest.raises(NameTaken, match="'taken' is alive on node a"):
        cluster.spawn(Counter, name="taken", node="b")
    with pytest.raises(LookupError, match="no node has the label zone=y; there are a, b"):
        cluster.spawn(Counter, placement=Placement(labels={"zone": "y"}))
    with pytest.raises(LookupError, match="no node has 2 of the resource 'gpu'"):
        cluster.spawn(Counter, placement=Placement(resources={"gpu": 2}))
    with pytest.raises(LookupError, match="no living node 'c'; it has a, b"):
        cluster.spawn(Counter, node="c")
    with pytest.raises(InvalidSetting, match="node and placement': need one of them"):
        cluster.spawn(Counter, node="a", placement=Placement(labels={"zone": "y"}))
    with pytest.raises(InvalidSetting, match=r"spawn.dispatcher='dedicated'"):
        cluster.spawn(Counter, dispatcher="dedicated")  # type: ignore[arg-type] # that is the fault
    with pytest.raises(InvalidSetting, match=r"spawn_many.each=-1"):
        cluster.spawn_many(Counter, -1)
    for name in ("", "a#b", 5):
        with pytest.raises(DefinitionError, match="it cannot name an agent"):
            cluster.spawn(Counter, name=name)  # type: ignore[arg-type] # that is the fault
    with pytest.raises(DefinitionError, match="it is not an agent class"):
        cluster.spawn(5)  # type: ignore[arg-type] # as above
    with pytest.raises(EncodeFailed, match="has no form on the wire"):
        cluster.spawn(Counter, object())
    local = type("Local", (Counter,), {"__module__": "no_such_module"})
    with pytest.raises(DefinitionError, match="no_such_module:Local: node a cannot load it"):
        cluster.spawn(local, node="a")
    with pytest.raises(EncodeFailed, match="exceed the limit of 16,000,000 bytes"):
        cluster.spawn(Counter, node="a").ask(Big(bytes(100_000_000)))
    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        probe("127.0.0.1:1")
    with pytest.raises(InvalidSetting, match="an address of PostgreSQL"):
        Cluster.connect(machines.address, settings={"store": "agents.db"})


def test_an_agent_may_have_a_dispatcher_of_its_own_on_its_node(cluster: Cluster) -> None:
    agents = [
        cluster.spawn(Counter, node="a", dispatcher=Dedicated()),
        *cluster.spawn_many(Counter, 2, dispatcher=Leased(most=4)),
    ]
    assert [each.ask(Add(1)).result(20) for each in agents] == [1, 1, 1]
    for each in agents:
        each.stop().result(10)


def test_a_program_listens_at_the_ports_of_its_machine(
    cluster: Cluster, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = cluster.spawn(Counter, name="behind a wall", node="a")
    monkeypatch.setenv("COTERIE_PORTS", "21500-21599")
    with Cluster.connect(machines.address, nodes=2, name="walled") as walled:
        found = walled.find("behind a wall")
        assert found is not None
        # The node connects to it for the answer.
        assert found.ask(Add(1)).result(20) == 1
        (own,) = [each for each in walled._membership.view.members if each.runtime == walled.runtime.node]
        assert 21_500 <= own.place.port <= 21_599
    agent.stop().result(10)


# Durable agents.


def test_a_durable_agent_is_on_one_node_and_its_messages_find_it(cluster: Cluster) -> None:
    accounts = [cluster.entity(Account, f"one-{n}") for n in range(20)]
    assert [reply.result(20) for reply in [each.ask(Deposit(10)) for each in accounts]] == [10] * 20
    places = [reply.result(20) for reply in [each.ask(Where()) for each in accounts]]
    assert set(places) == {"a", "b"}
    assert [reply.result(20) for reply in [each.ask(Where()) for each in accounts]] == places
    # Messages between durable agents of different nodes take effect.
    there, here = places.index("a"), places.index("b")
    assert accounts[there].ask(Transfer(f"one-{here}", 3)).result(10)
    assert accounts[here].ask(Transfer(f"one-{there}", 1)).result(10)
    eventually(lambda: accounts[here].ask(Balance()).result(10) == 12)
    eventually(lambda: accounts[there].ask(Balance()).result(10) == 8)
    assert accounts[here].ask(Later(0.2, 100)).result(10)
    eventually(lambda: accounts[here].ask(Balance()).result(10) == 112)
    key = "the same"
    assert accounts[0].ask(Deposit(1), idempotency_key=key).result(10) == accounts[0].ask(
        Deposit(1), idempotency_key=key
    ).result(10)


# Faults. Each begins with the machines `a` and `b`, and ends with them.


class Load:
    """Asks durable accounts for deposits all the time, each until it has an answer; and notes the answers."""

    def __init__(self, cluster: Cluster, prefix: str, keys: int) -> None:
        self.accounts = [cluster.entity(Account, f"{prefix}-{n}") for n in range(keys)]
        self.deposited = [0] * keys
        self.failures: list[str] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(keys)]  # noqa: TID251 - of a test
        for thread in self._threads:
            thread.start()

    def _run(self, n: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            began = time.monotonic()  # noqa: TID251 - of a test
            while True:
                try:
                    self.accounts[n].ask(Deposit(1), idempotency_key=f"{n}-{turn}", timeout=3.0).result(10)
                    break
                except DeliveryError as error:
                    self.failures.append(str(error))
                    self._stop.wait(0.05)
                    if time.monotonic() - began > 40:  # noqa: TID251 - as above
                        return
            self.deposited[n] = turn
            self.longest = max(self.longest, time.monotonic() - began)  # noqa: TID251 - as above
            self._stop.wait(0.01)

    def check(self) -> None:
        """Stop, and see that each answered deposit took effect once."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        balances = [reply.result(30) for reply in [each.ask(Balance(), timeout=30) for each in self.accounts]]
        assert balances == self.deposited
        assert min(self.deposited) > 0


def list_actors_on(machines: Machines, name: str) -> list[dict[str, Any]]:
    """Return Ray's entries of the node actors of a machine."""
    number = machines.nodes[name].node_id
    every: dict[str, Any] = ray._private.state.actors()
    return [{"state": each["State"]} for each in every.values() if each["Name"] == f"coterie-node-{number}"]


def settled(cluster: Cluster, *names: str) -> None:
    """Wait until these are the nodes, and ready."""
    eventually(lambda: [each.name for each in cluster.nodes() if each.ready] == sorted(names), timeout=40.0)


def test_keys_of_a_node_that_is_killed_are_activated_elsewhere_and_watchers_hear_of_it(
    cluster: Cluster, machines: Machines
) -> None:
    machines.add("c")
    settled(cluster, "a", "b", "c")
    downs = Downs()
    ordinary = cluster.spawn(Counter, name="ordinary", node="c")
    cluster.runtime.spawn(Watcher, ordinary, downs)
    load = Load(cluster, "killed", 12)
    eventually(lambda: min(load.deposited) > 3, timeout=20.0)
    places = {reply.result(10) for reply in [each.ask(Where()) for each in load.accounts]}
    assert places == {"a", "b", "c"}
    waiting = ordinary.ask(Sleep(30.0), timeout=30.0)
    machines.kill("c")
    with pytest.raises(DeliveryError):
        waiting.result(15)
    assert downs.down.wait(15)
    assert downs.reasons == ["lost"]
    settled(cluster, "a", "b")
    before = list(load.deposited)
    eventually(lambda: all(now > then for now, then in zip(load.deposited, before, strict=True)), timeout=20.0)
    load.check()
    assert cluster.find("ordinary") is None
    assert cluster.spawn(Counter, name="ordinary", node="a").ask(Add(1)).result(10) == 1


def test_the_commands_show_the_nodes_and_drain_one_for_good(
    cluster: Cluster, machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    machines.add("c")
    settled(cluster, "a", "b", "c")
    accounts = [cluster.entity(Account, f"drained-{n}") for n in range(12)]
    assert [reply.result(20) for reply in [each.ask(Deposit(7)) for each in accounts]] == [7] * 12
    assert "c" in {reply.result(20) for reply in [each.ask(Where()) for each in accounts]}
    commands.status(machines.address)
    shown = capsys.readouterr().out
    assert all(f"│ {name} " in shown for name in "abc")
    assert shown.count(" ready ") == 3
    assert cluster.status()["nodes"]["c"]["busiest"][0]["queued"] == 0
    with pytest.raises(LookupError, match="no living node 'd'"):
        commands.drain("d", machines.address)
    commands.drain("c", machines.address, 10.0)
    assert "node c has stopped" in capsys.readouterr().out
    settled(cluster, "a", "b")
    assert [reply.result(30) for reply in [each.ask(Balance(), timeout=30) for each in accounts]] == [7] * 12
    # Ray starts the process of a node that has ended again, but not of one that was drained.
    eventually(lambda: [each["state"] for each in list_actors_on(machines, "c")] == ["DEAD"], timeout=20.0)
    machines.kill("c")


def test_a_worker_that_is_killed_comes_back_with_a_new_runtime(cluster: Cluster, machines: Machines) -> None:
    load = Load(cluster, "worker", 6)
    eventually(lambda: min(load.deposited) > 3, timeout=20.0)
    before = cluster.node("b")
    os.kill(before.pid, signal.SIGKILL)
    eventually(
        lambda: any(each.name == "b" and each.ready and each.runtime != before.runtime for each in cluster.nodes()),
        timeout=40.0,
    )
    then = list(load.deposited)
    eventually(lambda: all(now > was for now, was in zip(load.deposited, then, strict=True)), timeout=20.0)
    load.check()


def test_a_frozen_node_loses_its_keys_and_does_nothing_when_it_comes_back(cluster: Cluster, machines: Machines) -> None:
    load = Load(cluster, "frozen", 8)
    eventually(lambda: min(load.deposited) > 3, timeout=20.0)
    node = cluster.node("b")
    mine = next(each for each in load.accounts if each.ask(Where()).result(10) == "b")
    # It is in the middle of a message when it freezes, which would be stored and answered afterwards.
    zombie = mine.ask(Slow(3.0, 1_000_000), timeout=60.0)
    time.sleep(0.2)
    os.kill(node.pid, signal.SIGSTOP)
    eventually(lambda: [each.name for each in cluster.nodes()] == ["a"], timeout=20.0)
    before = list(load.deposited)
    eventually(lambda: all(now > then for now, then in zip(load.deposited, before, strict=True)), timeout=20.0)
    os.kill(node.pid, signal.SIGCONT)
    with pytest.raises(DeliveryError):
        zombie.result(20)
    settled(cluster, "a", "b")
    assert cluster.node("b").runtime != node.runtime
    load.check()


# What stands on the runtime.


def digest_of_a_fishery(agents: Mapping[str, Any], on_round: Callable[[RoundResult], None] | None = None) -> str:
    world = World({"lake": 100})
    simulation = Simulation(
        world,
        agents,
        Graph.chain("look", together(judge), "fish"),
        resolver=resolvers.Rationing("lake", into="basket/{agent}"),
        settle=settle,
        mechanisms={"quota": Quota},
        seed=3,
    )
    simulation.run(12, on_round)
    return world.digest()


def test_a_simulation_over_nodes_has_the_outcome_of_one_process_also_if_a_node_is_killed(cluster: Cluster) -> None:
    alone = digest_of_a_fishery({name: Fisher() for name in NAMES})
    placement = Placement(strategy="spread")
    with HostedAgents(cluster, dict.fromkeys(NAMES, (Fisher,)), placement) as hosted:
        assert digest_of_a_fishery(hosted.agents) == alone
    settled(cluster, "a", "b")
    killed = cluster.node("b")

    def kill(result: RoundResult) -> None:
        if result.number == 4:
            os.kill(killed.pid, signal.SIGKILL)

    with HostedAgents(cluster, dict.fromkeys(NAMES, (Fisher,)), placement) as hosted:
        assert digest_of_a_fishery(hosted.agents, kill) == alone
    eventually(lambda: any(each.name == "b" and each.runtime != killed.runtime for each in cluster.nodes()), timeout=40.0)
    settled(cluster, "a", "b")
