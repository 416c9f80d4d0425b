"""Promises between nodes in processes of their own, which are killed, frozen and started again."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from coterie import AgentRef, Runtime
from coterie.errors import AgentStopped, AskCancelled, AskTimeout, UnknownAgent
from coterie.meetings import Meetings
from coterie.network import NetworkTransport, Topology
from coterie.testing import Together, eventually
from tests.network.nodes import Process, topology, write
from tests.network.people import (
    Ada,
    Call,
    Follow,
    Greet,
    Guest,
    Heard,
    Mark,
    Marks,
    News,
    Publish,
    Say,
    Wait,
)
from tests.network.people import (
    Process as ProcessNumber,
)

ROOT = Path(__file__).parents[2]
RUN = "from coterie.cli import main; main()"


class Network:
    """A runtime here, and nodes elsewhere."""

    def __init__(self, stack: ExitStack, path: Path, nodes: Topology, node_timeout: float) -> None:
        self.stack = stack
        self.path = path
        self.processes: dict[str, Process] = {}
        self.transport = NetworkTransport(nodes, "here")
        self.runtime = stack.enter_context(
            Runtime("here", transport=self.transport, node_timeout=node_timeout, stop_timeout=2.0)
        )

    def start(self, *names: str, by: str = "") -> None:
        """Start nodes and wait until they are ready: by the command line, or with a function of `people`, which is quicker."""
        for name in names:
            command = (
                ("-m", "tests.network.node", str(self.path), name, by)
                if by
                else ("-c", RUN, "node", str(self.path), "--name", name)
            )
            self.processes[name] = Process(*command, cwd=ROOT)
            self.stack.callback(self.processes[name].kill)
        for name in names:
            line = self.processes[name].line()
            assert line.startswith(f"node {name} ({name}-"), line

    def agent(self, node: str, name: str) -> AgentRef:
        return self.runtime.reference(self.transport.address(node, name, timeout=30.0))

    def signal(self, name: str, number: int) -> None:
        self.processes[name].signal(number)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    with ExitStack() as stack:

        def make(*names: str, node_timeout: float = 10.0, keep_alive: float = 5.0, **lines: list[str]) -> Network:
            limits = {"keep_alive": keep_alive, "queue_messages": 1_000, "send_timeout": 50.0}
            nodes = topology("here", *names, **limits)
            return Network(stack, write(tmp_path / "network.toml", nodes, **lines), nodes, node_timeout)

        yield make


ADA = ['agents = { ada = "tests.network.people:Ada", bob = { agent = "tests.network.people:Ada", arguments = [7] } }']


def test_agents_of_two_processes_ask_tell_watch_and_stop_each_other(network: Callable[..., Network]) -> None:
    net = network("there", there=[*ADA, 'setup = "tests.network.people:hold_meetings"'])
    net.start("there")
    ada, bob = net.agent("there", "ada"), net.agent("there", "bob")
    assert net.agent("there", "guest-there").stop().result(30) is None
    far = ada.ask(ProcessNumber()).result(30)
    assert far == net.processes["there"].process.pid
    for n in range(3_000):
        ada.tell(Mark(n))
    assert ada.ask(Marks()).result(30) == list(range(3_000))
    # A reference of an agent here goes there, and is asked from there.
    local = net.runtime.spawn(Ada, name="local")
    assert ada.ask(Greet(local)).result(30) == os.getpid()
    # A publication goes to the subscribers on all nodes; the count is of those on its own.
    assert ada.ask(Publish("marks", 9)).result(30) == 2
    eventually(lambda: bob.ask(Marks()).result(30) == [7, 9])
    eventually(lambda: local.ask(Marks()).result(30) == [9])
    local.ask(Follow(ada)).result(30)
    ada.stop().result(30)
    eventually(lambda: local.ask(News()).result(30) == ["ada: stopped"])
    with pytest.raises((AgentStopped, UnknownAgent)):
        ada.ask(Marks()).result(30)
    with pytest.raises(AskTimeout):
        bob.ask(Wait(3600.0), timeout=0.1).result(30)
    net.signal("there", signal.SIGTERM)
    assert net.processes["there"].end()[0] == 0


def test_a_node_that_is_killed_counts_as_lost_and_its_next_runtime_is_reached(network: Callable[..., Network]) -> None:
    net = network("there")
    net.start("there", by="host_two")
    ada = net.agent("there", "ada")
    local = net.runtime.spawn(Ada)
    local.ask(Follow(ada)).result(30)
    ada.tell(Mark(1))
    waiting = ada.ask(Wait(3600.0), timeout=None)
    assert ada.ask(Marks()).result(30) == [1]
    net.processes["there"].kill()
    net.start("there", by="host_two")
    new = net.agent("there", "ada")
    assert new.address.node != ada.address.node
    assert new.ask(Marks()).result(30) == []
    # The heartbeat finds out, by its silence or because it was replaced, that the earlier runtime has ended.
    eventually(lambda: waiting.done, timeout=20)
    assert isinstance(waiting.exception(), AskCancelled)
    eventually(lambda: local.ask(News()).result(30) == ["ada: lost"], timeout=20)
    assert not ada.is_alive
    with pytest.raises(UnknownAgent, match="has ended"):
        ada.ask(Marks()).result(30)
    for n in range(100):
        new.tell(Mark(n))
    assert new.ask(Marks()).result(30) == list(range(100))


def test_a_frozen_node_holds_senders_back_and_gets_all_when_it_goes_on(network: Callable[..., Network]) -> None:
    """The queue holds 1,000 messages here before senders wait, and the connection what TCP buffers beside it."""
    net = network("there", node_timeout=60.0, keep_alive=20.0)
    net.start("there", by="host_two")
    ada = net.agent("there", "ada")
    local = net.runtime.spawn(Ada)
    local.ask(Follow(ada)).result(30)
    ada.ask(Marks()).result(30)
    net.signal("there", signal.SIGSTOP)
    sent: list[int] = []
    enough = threading.Event()

    def send() -> None:
        while not enough.is_set():
            ada.tell(Mark(len(sent), "x" * 2_000))
            sent.append(len(sent))

    sender = Together(send)
    eventually(lambda: net.transport.peers()["there"].queued > 1_000, timeout=30)
    # One sender goes beyond the limit by one message, and then waits until there is room.
    assert net.transport.peers()["there"].queued <= 1_001
    assert sender.running
    enough.set()
    net.signal("there", signal.SIGCONT)
    sender.join()
    assert ada.ask(Marks(), timeout=50.0).result(50) == sent
    status = net.transport.peers()["there"]
    assert (status.connections, status.refused, status.dropped) == (1, 0, 0)
    assert ada.is_alive
    assert local.ask(News()).result(30) == []


def test_sigterm_lets_the_agents_of_a_node_finish(network: Callable[..., Network]) -> None:
    net = network("there", there=ADA)
    net.start("there")
    ada = net.agent("there", "ada")
    for n in range(500):
        ada.tell(Mark(n))
    answers = [ada.ask(Wait(0.3)), ada.ask(Marks())]
    assert ada.ask(ProcessNumber()).result(30) > 0
    net.signal("there", signal.SIGTERM)
    assert answers[0].result(30) == 500
    assert answers[1].result(30) == list(range(500))
    status, out, _ = net.processes["there"].end()
    assert (status, out) == (0, "node there stops\n")


def test_a_meeting_goes_on_when_a_members_node_is_killed(network: Callable[..., Network]) -> None:
    net = network("two", "three")
    net.runtime.provide(Meetings(patience=20.0))
    host = net.runtime.spawn(Guest, name="host")
    net.start("two", "three", by="hold_meetings")
    two, three = net.agent("two", "guest-two"), net.agent("three", "guest-three")
    meeting = host.ask(Call([two, three]), timeout=60).result(60)
    for agent, text in ((host, "one"), (two, "two"), (three, "three")):
        assert agent.ask(Say(meeting, text), timeout=60).result(60) > 0
    for agent in (host, two, three):
        eventually(lambda agent=agent: agent.ask(Heard(meeting)).result(30) == ["one", "two", "three"])  # type: ignore[misc]
    net.processes["three"].kill()
    assert two.ask(Say(meeting, "four"), timeout=60).result(60) > 0
    assert host.ask(Say(meeting, "five"), timeout=60).result(60) > 0
    for agent in (host, two):
        eventually(lambda agent=agent: agent.ask(Heard(meeting)).result(30)[2:] == ["three", "four", "five"])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (['agents = { a = "nowhere:Ada" }'], r"nodes.there.agents.a: there is no module 'nowhere'"),
        (['agents = { a = "tests.network.people:Eve" }'], r"agents.a: tests.network.people has no Eve"),
        (['agents = { a = "tests.network.people:Mark" }'], r"is not a subclass of coterie.Agent"),
        (['agents = { "a#b" = "tests.network.people:Ada" }'], r"nodes.there.agents.a#b: name='a#b': it cannot name an agent"),
        (['setup = "tests.network.people:fail"'], r"nodes.there.setup: .* raised ValueError: no coffee"),
    ],
)
def test_a_node_that_cannot_be_set_up_says_why(
    lines: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coterie.cli.node import node  # noqa: PLC0415 - the command line is not there in every test

    monkeypatch.setattr("signal.signal", lambda *_: None)
    path = write(tmp_path / "network.toml", topology("there"), there=lines)
    with pytest.raises(ValueError, match=error):
        node(path, "there")
