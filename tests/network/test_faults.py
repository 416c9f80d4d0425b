"""Connections that break, fall silent, and come back; and two processes with one name."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from coterie import AgentRef, AskTimeout, Runtime
from coterie.network import NetworkTransport, Topology
from coterie.testing import eventually
from coterie.testing.conformance.base import Echo, Note, Notes, Recorder
from tests.network.nodes import free_address, topology
from tests.network.proxy import Proxy
from tests.network.test_transport import Downs, Watch, Watcher


class Proxied:
    """Node one reaches node two through a proxy."""

    def __init__(self, stack: ExitStack, **limits: float) -> None:
        self.stack = stack
        nodes = topology("one", "two", **limits)
        real = nodes.nodes["two"].address
        self.proxy = Proxy(real)
        stack.callback(self.proxy.close)
        two = replace(nodes.nodes["two"], address=self.proxy.address, listen=real)
        self.topology = replace(nodes, nodes={**nodes.nodes, "two": two})
        self.transports: dict[str, NetworkTransport] = {}

    def start(self, name: str, topology: Topology | None = None, node_timeout: float = 60.0) -> Runtime:
        transport = NetworkTransport(topology or self.topology, name)
        self.transports.setdefault(name, transport)
        return self.stack.enter_context(Runtime(name, transport=transport, node_timeout=node_timeout))

    def agent(self, here: Runtime) -> AgentRef:
        return here.reference(self.transports["one"].address("two", "ada", timeout=30.0))

    @property
    def connections(self) -> int:
        return self.transports["one"].peers()["two"].connections


def answered(agent: AgentRef) -> bool:
    """Return whether an ask is answered."""
    try:
        return agent.ask(Echo(2), timeout=2.0).result(20) == 2
    except AskTimeout:
        return False


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_connection_that_breaks_is_made_again_to_the_same_runtime(stack: ExitStack) -> None:
    nodes = Proxied(stack)
    one, two = nodes.start("one"), nodes.start("two")
    two.spawn(Recorder, name="ada")
    ada = nodes.agent(one)
    watcher = one.spawn(Watcher)
    watcher.ask(Watch(ada)).result(20)
    for turn in range(1, 4):
        assert ada.ask(Echo(turn)).result(20) == turn
        nodes.proxy.cut()
        eventually(lambda turn=turn: nodes.connections > turn, timeout=20)  # type: ignore[misc] # bound by default
    assert nodes.agent(one).address == ada.address
    for n in range(100):
        ada.tell(Note(n))
    assert ada.ask(Notes()).result(20) == list(range(100))
    assert watcher.ask(Downs()).result(20) == []


def test_what_is_sent_while_the_connection_is_broken_waits_for_the_next(stack: ExitStack) -> None:
    nodes = Proxied(stack)
    one, two = nodes.start("one"), nodes.start("two")
    two.spawn(Recorder, name="ada")
    ada = nodes.agent(one)
    assert ada.ask(Echo(1)).result(20) == 1
    nodes.proxy.close()
    eventually(lambda: not nodes.transports["one"].peers()["two"].connected, timeout=20)
    for n in range(50):
        ada.tell(Note(n))
    reply = ada.ask(Notes())
    assert nodes.transports["one"].peers()["two"].queued == 51
    again = Proxy(nodes.topology.nodes["two"].listen, nodes.proxy.address)
    stack.callback(again.close)
    assert reply.result(20) == list(range(50))


def test_a_connection_that_falls_silent_is_given_up_and_made_again(stack: ExitStack) -> None:
    nodes = Proxied(stack, keep_alive=0.1)
    one, two = nodes.start("one"), nodes.start("two")
    two.spawn(Recorder, name="ada")
    ada = nodes.agent(one)

    # On a busy machine a connection with so short a limit may break at any time, and take an ask along.
    eventually(lambda: answered(ada), timeout=30)
    nodes.proxy.silent = True
    eventually(lambda: not nodes.transports["one"].peers()["two"].connected, timeout=20)
    before = nodes.connections
    nodes.proxy.silent = False
    eventually(lambda: nodes.connections > before, timeout=20)
    eventually(lambda: answered(ada), timeout=30)


def test_a_second_process_with_the_name_of_a_node_is_refused_and_disturbs_no_one(stack: ExitStack) -> None:
    nodes = Proxied(stack)
    one, two = nodes.start("one"), nodes.start("two")
    two.spawn(Recorder, name="ada")
    ada = nodes.agent(one)
    assert ada.ask(Echo(1)).result(20) == 1
    elsewhere = replace(nodes.topology.nodes["two"], listen=free_address())
    impostor = NetworkTransport(replace(nodes.topology, nodes={**nodes.topology.nodes, "two": elsewhere}), "two")
    stack.enter_context(Runtime("two", transport=impostor))
    text = "one is connected to another runtime of two"
    eventually(lambda: text in impostor.peers()["one"].detail, timeout=20)
    eventually(lambda: nodes.transports["one"].peers()["two"].connected, timeout=20)
    settled = nodes.connections
    assert nodes.agent(one).address == ada.address
    assert ada.ask(Echo(2)).result(20) == 2
    # It is refused again and again, and the connection to the true one stays.
    hellos = impostor.peers()["one"].detail
    assert text in hellos
    for n in range(200):
        ada.tell(Note(n))
    assert ada.ask(Notes()).result(20) == list(range(200))
    assert nodes.connections == settled == 2
