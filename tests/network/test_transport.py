"""Two runtimes of one process over real sockets."""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zmq

from coterie import Agent, AgentDown, AgentRef, AgentStopped, AskCancelled, Request, Runtime, UnknownAgent, on
from coterie.errors import AskTimeout, EncodeFailed, HandlerFailed, TopologyError, TransportError
from coterie.messaging import Reason
from coterie.network import KeyPair, NetworkTransport, NodeEntry, Topology, diagnose
from coterie.network.handshake import PROTOCOL, Hello, StatusQuestion, encode, objection
from coterie.network.peer import Peer
from coterie.testing import eventually
from coterie.testing.conformance.base import Echo, Note, Notes, Recorder, Sleep
from tests.network.nodes import topology


class Watch(Request[None]):
    agent: AgentRef


class Downs(Request[list[str]]):
    pass


class Text(Request[str]):
    length: int
    padding: str = ""


class Watcher(Agent):
    def __init__(self) -> None:
        self.downs: list[str] = []

    @on
    def watch(self, message: Watch) -> None:
        self.context.watch(message.agent)

    @on
    def down(self, message: AgentDown) -> None:
        self.downs.append(f"{message.agent.name}: {message.reason}: {message.error}")

    @on
    def read(self, message: Downs) -> list[str]:
        return self.downs

    @on
    def text(self, message: Text) -> str:
        return "x" * message.length


class Hosts:
    """The nodes of a topology, each with its transport and runtime."""

    def __init__(self, stack: ExitStack, topology: Topology) -> None:
        self.stack = stack
        self.topology = topology
        self.transports: dict[str, NetworkTransport] = {}

    def start(self, name: str, topology: Topology | None = None, **options: Any) -> Runtime:
        transport = self.transports[name] = NetworkTransport(topology or self.topology, name)
        return self.stack.enter_context(Runtime(name, transport=transport, node_timeout=2.0, **options))

    def reference(self, runtime: Runtime, node: str, agent: str) -> AgentRef:
        return runtime.reference(self.transports[runtime.name].address(node, agent, timeout=20.0))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(stack, topology("one", "two"))


def secured(folder: Path, *names: str) -> Topology:
    plain = topology(*names)
    nodes = {}
    for name, entry in plain.nodes.items():
        pair = KeyPair.new()
        pair.save(folder / f"{name}.key")
        nodes[name] = replace(entry, public_key=pair.public, secret_key=folder / f"{name}.key")
    return replace(plain, nodes=nodes)


def test_agents_ask_tell_and_watch_over_sockets(hosts: Hosts) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    for n in range(2_000):
        ada.tell(Note(n))
    assert ada.ask(Notes()).result(20) == list(range(2_000))
    watcher = one.spawn(Watcher)
    watcher.ask(Watch(ada)).result(10)
    ada.stop().result(10)
    eventually(lambda: watcher.ask(Downs()).result(10) == ["ada: stopped: "])
    link = two.metrics().link
    assert (link["lost"], link["duplicates"], link["late"]) == (0, 0, 0)


def test_a_node_that_comes_back_has_a_new_runtime_and_the_old_one_counts_as_lost(hosts: Hosts) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    watcher = one.spawn(Watcher)
    watcher.ask(Watch(ada)).result(10)
    asked = ada.ask(Sleep(3600.0), timeout=None)
    two.stop(drain=False)
    eventually(lambda: asked.done, timeout=20)
    assert isinstance(asked.exception(), AgentStopped | AskCancelled | UnknownAgent)
    again = hosts.start("two")
    again.spawn(Recorder, name="ada")
    new = hosts.reference(one, "two", "ada")
    assert new.ask(Echo(7)).result(20) == 7
    with pytest.raises((UnknownAgent, AgentStopped), match=r"has ended: it has stopped|ada"):
        ada.ask(Echo(8)).result(20)
    eventually(lambda: len(watcher.ask(Downs()).result(10)) == 1, timeout=20)
    eventually(lambda: not ada.is_alive, timeout=20)


def test_a_message_beyond_the_limit_is_one_error_at_its_sender(hosts: Hosts) -> None:
    nodes = replace(hosts.topology, max_message=100_000)
    one, two = hosts.start("one", nodes), hosts.start("two", nodes)
    two.spawn(Watcher, name="ada")
    ada = hosts.reference(one, "two", "ada")
    assert ada.ask(Text(90_000)).result(20) == "x" * 90_000
    with pytest.raises(
        EncodeFailed, match=r"Text: 100,\d+ bytes for two exceed the limit of 100,000 bytes for one message; use"
    ):
        ada.ask(Text(1, "x" * 100_000))
    with pytest.raises(EncodeFailed, match="exceed the limit"):
        ada.tell(Text(1, "x" * 200_000))
    with pytest.raises(HandlerFailed, match="the answer could not be sent: MessageTooLarge"):
        ada.ask(Text(100_000)).result(20)
    assert ada.ask(Text(3)).result(20) == "xxx"
    assert two.metrics().link["lost"] == 0
    assert one._services.node_link._asked == {}


def test_a_runtime_is_addressed_by_the_name_of_its_node(hosts: Hosts) -> None:
    one = hosts.start("one")
    network = hosts.transports["one"]
    with pytest.raises(TransportError, match=r"two at 127.0.0.1:\d+ is not connected after 0 s: no connection"):
        network.address("two", "ada", timeout=0)
    with pytest.raises(TransportError, match="one is this node"):
        network.address("one", "ada")
    with pytest.raises(TopologyError, match="there is no node 'three'"):
        network.address("three", "ada")
    with pytest.raises(UnknownAgent, match=r"two is the name of a node and not of its runtime; use NetworkTransport.address"):
        one.reference("coterie://two/ada").ask(Echo(1)).result(10)
    with pytest.raises(UnknownAgent, match="node one knows no runtime elsewhere; it knows none"):
        one.reference("coterie://elsewhere/ada").ask(Echo(1)).result(10)
    assert [letter.reason for letter in one.dead_letters] == [Reason.UNDELIVERABLE] * 2
    assert network.peers()["two"].connected is False


def test_an_address_that_is_taken_is_one_error(hosts: Hosts) -> None:
    hosts.start("one")
    with pytest.raises(TransportError, match=r"node one cannot listen on 127.0.0.1:\d+: .*in use.*; end the other process"):
        Runtime("late", transport=NetworkTransport(hosts.topology, "one"))
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("late-")] == []
    with pytest.raises(TransportError, match="give each runtime its own NetworkTransport"):
        Runtime(transport=hosts.transports["one"])


def test_peers_are_held_off_until_they_are_admitted(hosts: Hosts) -> None:
    one = hosts.start("one")
    network = NetworkTransport(hosts.topology, "two", admit=False)
    two = hosts.stack.enter_context(Runtime("two", transport=network))
    eventually(lambda: "has not answered yet" in hosts.transports["one"].peers()["two"].detail, timeout=20)
    two.spawn(Recorder, name="ada")
    network.admit()
    assert hosts.reference(one, "two", "ada").ask(Echo(1)).result(20) == 1


def test_with_keys_members_reach_each_other_and_strangers_are_refused_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = secured(tmp_path, "one", "two")
    assert nodes.secure
    (tmp_path / "stranger").mkdir()
    strange = secured(tmp_path / "stranger", "one")
    # It knows the public key of two, and two does not know its key.
    other = replace(nodes, nodes={"one": replace(strange.nodes["one"]), "two": nodes.nodes["two"]})
    with ExitStack() as stack, caplog.at_level(logging.INFO):
        hosts = Hosts(stack, nodes)
        one, two = hosts.start("one"), hosts.start("two")
        two.spawn(Recorder, name="ada")
        assert hosts.reference(one, "two", "ada").ask(Echo(7)).result(20) == 7
        outsider = Hosts(stack, other)
        outsider.start("one")
        detail = "wrong key: two does not know the public key of one; add it there"
        eventually(lambda: outsider.transports["one"].peers()["two"].detail == detail, timeout=20)
        stranger = other.nodes["one"].public_key

        def refusals() -> list[str]:
            return [record.message for record in caplog.records if "refused a connection" in record.message]

        eventually(lambda: len(refusals()) == 1)
        assert stranger in refusals()[0]
    secrets = [KeyPair.load(path).secret for path in tmp_path.rglob("*.key")]
    assert len(secrets) == 3
    assert not any(secret in caplog.text for secret in secrets)
    assert len(refusals()) == 1


def test_a_peer_that_has_another_key_than_the_topology_says_is_not_used(tmp_path: Path) -> None:
    nodes = secured(tmp_path, "one", "two")
    wrong = replace(nodes, nodes={**nodes.nodes, "two": replace(nodes.nodes["two"], public_key=KeyPair.new().public)})
    with ExitStack() as stack:
        hosts = Hosts(stack, nodes)
        hosts.start("one", wrong)
        hosts.start("two")
        eventually(lambda: "public keys in both topologies" in hosts.transports["one"].peers()["two"].detail, timeout=20)
        with pytest.raises(TransportError, match="compare the public keys"):
            hosts.transports["one"].address("two", "ada", timeout=0)
        reasons = {(each.source, each.target): each for each in diagnose(wrong, "one", timeout=3.0)}
        assert not reasons["one", "two"].reached
        assert not reasons["(this command)", "two"].reached


def test_a_secure_node_needs_its_own_secret_key(tmp_path: Path) -> None:
    nodes = secured(tmp_path, "one", "two")
    bare = replace(nodes, nodes={**nodes.nodes, "one": replace(nodes.nodes["one"], secret_key=None)})
    with pytest.raises(TopologyError, match=r"nodes.one.secret_key: missing"):
        NetworkTransport(bare, "one")
    mixed = replace(nodes, nodes={**nodes.nodes, "one": replace(nodes.nodes["one"], secret_key=tmp_path / "two.key")})
    with pytest.raises(TopologyError, match=r"two.key has another public key; copy the key from that file"):
        NetworkTransport(mixed, "one")


def test_another_version_of_the_wire_is_one_error_on_both_sides(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("coterie.network.outgoing.PROTOCOL", 99)
    hosts.start("one")
    hosts.start("two")
    match = r"one speaks version 99 of the wire \(coterie .*\), two speaks version 1 .*; install the same version of coterie on both"
    eventually(lambda: "version 99" in hosts.transports["one"].peers()["two"].detail, timeout=20)
    with pytest.raises(TransportError, match=match):
        hosts.transports["one"].address("two", "ada", timeout=0)
    assert sum("cannot use the connection to two" in each.message for each in caplog.records) == 1


def test_a_node_at_the_address_of_another_is_named(hosts: Hosts) -> None:
    swapped = {"one": hosts.topology.nodes["one"], "three": hosts.topology.nodes["two"]}
    hosts.start("one", replace(hosts.topology, nodes=swapped))
    hosts.start("two")
    detail = "this is two, not three; mend the address of three in the topology of one"
    eventually(lambda: hosts.transports["one"].peers()["three"].detail == detail, timeout=20)


def test_the_diagnosis_tells_who_reaches_whom_and_why_not() -> None:
    with ExitStack() as stack:
        hosts = Hosts(stack, topology("one", "two", "three"))
        one = hosts.start("one")
        hosts.start("two")
        hosts.reference(one, "two", "ada")
        hosts.transports["two"].address("one", "ada", timeout=20.0)
        found = {(each.source, each.target): each for each in diagnose(hosts.topology, timeout=20.0)}
        assert [pair for pair, each in found.items() if each.reached] == [
            ("(this command)", "one"),
            ("(this command)", "two"),
            ("one", "two"),
            ("two", "one"),
        ]
        for source in ("(this command)", "one", "two"):
            assert "refused: no process listens on" in found[source, "three"].detail


def test_diagnoses_that_come_at_once_share_a_thread(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, goes_on = [], threading.Event()

    def probe(address: str, timeout: float) -> str:
        probes.append(address)
        assert goes_on.wait(20)
        return "refused"

    monkeypatch.setattr("coterie.network.incoming.probe", probe)
    hosts.start("one")
    with zmq.Context() as context, ExitStack() as stack:
        visitors = [stack.enter_context(context.socket(zmq.DEALER)) for _ in range(5)]
        for each in visitors:
            each.linger = 0
            each.connect(f"tcp://{hosts.topology.nodes['one'].address}")
            each.send_multipart([b"T", encode(Hello(PROTOCOL, "1", "two", "", "one", 1))])
            assert each.poll(20_000), "no answer came"
            each.recv_multipart()
            each.send_multipart([b"T", encode(StatusQuestion())])
        thread = hosts.transports["one"]._thread
        assert thread is not None
        eventually(lambda: len(thread._incoming._asking) == 5, timeout=20)
        goes_on.set()
        for each in visitors:
            assert each.poll(20_000), "no answer came"
    assert len(probes) == 1


def test_a_clock_that_differs_is_named(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Ahead:
        def time(self) -> float:
            return 1e10

    monkeypatch.setattr("coterie.network.incoming._clock", Ahead())
    one = hosts.start("one")
    hosts.start("two").spawn(Recorder, name="ada")
    assert hosts.reference(one, "two", "ada").ask(Echo(1)).result(20) == 1
    assert any("the clock of node two differs" in record.message for record in caplog.records)
    found = {(each.source, each.target): each.detail for each in diagnose(hosts.topology, timeout=3.0)}
    assert "its clock differs by" in found["one", "two"]


def test_a_full_queue_holds_senders_back_and_then_refuses() -> None:
    peer = Peer("two", Topology({"two": NodeEntry("localhost:1")}, queue_messages=2, queue_bytes=1_000, send_timeout=5.0))
    peer.renew("two-1")
    peer.put("two-1", b"a")
    peer.put("two-1", b"b")
    assert peer.room(0.0) is None
    peer.put("two-1", b"c")
    room = peer.room(0.0)
    assert room is not None
    assert peer.room(1.0) is room
    peer.put("two-1", b"d")
    with pytest.raises(TransportError, match=r"4 messages of 4 bytes wait for two already: no connection has been made yet"):
        peer.put("two-1", b"e")
    assert peer.status().refused == 1
    assert peer.take(2, 100) == [b"a", b"b"]
    before = room.done
    assert peer.take(1, 100) == [b"c"]
    assert (before, room.done) == (False, True)
    assert peer.room(0.0) is None
    peer.put("two-1", b"x" * 1_500)
    late = peer.room(0.0)
    assert late is not None
    done = []
    for now in (4.9, 5.0):
        peer.expire(now)
        done.append(late.done)
    assert done == [False, True]
    with pytest.raises(TransportError, match="wait for two already"):
        peer.put("two-1", b"x" * 600)


def test_what_waits_for_a_runtime_that_has_ended_is_dropped_and_counted() -> None:
    peer = Peer("two", Topology({"two": NodeEntry("localhost:1")}, queue_messages=1))
    assert peer.renew("two-1") == ""
    for _ in range(2):
        peer.put("two-1", b"a")
    room = peer.room(0.0)
    assert peer.renew("two-2") == "two-1"
    assert room is not None
    assert room.done
    assert (peer.status().dropped, peer.status().queued) == (2, 0)
    with pytest.raises(TransportError, match="the runtime two-1 of two has ended"):
        peer.put("two-1", b"b")


def test_an_ask_of_a_runtime_that_is_away_ends(hosts: Hosts) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    assert ada.ask(Echo(1)).result(20) == 1
    with pytest.raises(AskTimeout):
        ada.ask(Sleep(3600.0), timeout=0.05).result(20)
    eventually(lambda: two.metrics().totals.cancelled == 1)


@pytest.mark.parametrize(
    ("hello", "user", "problem"),
    [
        (Hello(PROTOCOL, "1", "two", "two-1", "one", 1), "two", None),
        (Hello(PROTOCOL, "1", "two", "two-1", "one", 1), None, None),
        (Hello(PROTOCOL + 1, "9", "two", "two-1", "one", 1), None, r"two speaks version 2 of the wire \(coterie 9\)"),
        (Hello(PROTOCOL, "1", "six", "six-1", "one", 1), None, "one knows no node 'six'; add it to the topology of one"),
        (
            Hello(PROTOCOL, "1", "two", "two-1", "one", 1),
            "six",
            "calls itself two has the key of six; give each node its own file",
        ),
        (Hello(PROTOCOL, "1", "two", "two-1", "six", 1), None, "this is one, not six; mend the address of six"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_the_reason(hello: Hello, user: str | None, problem: str | None) -> None:
    reason = objection(hello, "one", frozenset({"one", "two"}), user)
    assert (reason is None) == (problem is None)
    assert problem is None or (reason is not None and re.search(problem, reason))


def test_data_that_make_no_sense_are_discarded_and_the_node_goes_on(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.connect(f"tcp://{hosts.topology.nodes['two'].address}")
        for parts in ([b"x"], [b"T", b"\xc1"], [b"T", b""], [b"Btwo", b"\x91\xc4\x01x"], [b"a", b"b", b"c", b"d"], [b""]):
            stranger.send_multipart(parts)
        stranger.send_multipart([b"T", encode(Hello(PROTOCOL, "1", "two", "", "two", 1))])
        assert stranger.poll(20_000), "no answer came"
        # A diagnosis was let in, but a batch for another runtime counts for nothing.
        stranger.send_multipart([b"Btwo-1", b"\x91\xc4\x01x"])
        stranger.send_multipart([b"B" + two.node.encode(), b"\x91\xc4\x01x"])
        eventually(lambda: two.metrics().link["malformed"] == 1)
    assert ada.ask(Echo(7)).result(20) == 7
    assert any("strange form" in record.message for record in caplog.records)
    assert any("make no sense were discarded" in record.message for record in caplog.records)


def test_diagnoses_push_no_peer_out(hosts: Hosts) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    assert ada.ask(Echo(1)).result(20) == 1
    thread = hosts.transports["two"]._thread
    assert thread is not None
    incoming, done = thread._incoming, threading.Event()

    def visit() -> None:
        # As many as a monitor makes that looks each minute of a day, and a peer whose connection is made again and again.
        for n in range(1_440):
            incoming._handle(b"visitor-%d" % n, None, Hello(PROTOCOL, "1", "one", "", "two", 1), None)
        for n in range(5):
            incoming._handle(b"again-%d" % n, None, Hello(PROTOCOL, "1", "one", one.node, "two", 1), None)
        done.set()

    thread.call(visit)
    assert done.wait(20)
    assert ada.ask(Echo(2), timeout=10).result(20) == 2
    for n in range(100):
        incoming._remember(b"once-more-%d" % n, Hello(PROTOCOL, "1", "one", one.node, "two", 1))
    assert (len(incoming._sessions), len(incoming._visitors)) == (8, 1_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_no_network(hosts: Hosts) -> None:
    one, two = hosts.start("one"), hosts.start("two")
    two.spawn(Recorder, name="ada")
    ada = hosts.reference(one, "two", "ada")
    assert ada.ask(Echo(1)).result(20) == 1
    child = os.fork()
    if child == 0:
        try:
            hosts.transports["one"].send("one", ada.address.node, b"")
        except TransportError:
            os._exit(7)
        os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert ada.ask(Echo(2)).result(20) == 2
