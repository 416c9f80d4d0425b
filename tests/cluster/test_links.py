"""The connections between the members of a cluster, without Ray."""

import hmac
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from coterie.cluster import RayTransport, admission, introduction
from coterie.cluster.introduction import _PLAIN, LinkAnswer, LinkHello, _proof, _receive, _receive_part, _send
from coterie.cluster.limits import LinkLimits
from coterie.cluster.wire import PROTOCOL, VERSION, LinkPlace, decode, encode
from coterie.errors import TransportError
from coterie.testing.waiting import eventually
from tests.cluster.members import SharedMembers

Made = tuple[RayTransport, "queue.Queue[bytes]"]


class Network:
    """Transports that know each other."""

    def __init__(self) -> None:
        self.members = SharedMembers()
        self.all: list[tuple[str, RayTransport]] = []

    def add(self, runtime: str, limits: LinkLimits | None = None, **options: Any) -> Made:
        transport = RayTransport(self.members, limits, **options)
        got: queue.Queue[bytes] = queue.Queue()
        self.members.join(runtime, transport)
        transport.bind(runtime, got.put)
        self.all.append((runtime, transport))
        return transport, got

    def close(self) -> None:
        for runtime, transport in self.all:
            transport.close(runtime)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def take(got: "queue.Queue[bytes]", count: int) -> list[bytes]:
    return [got.get(timeout=20) for _ in range(count)]


@pytest.mark.parametrize("encrypts", [False, True])
def test_frames_arrive_in_order_whatever_their_size_and_number(network: Network, encrypts: bool) -> None:
    (a, at_a), (b, at_b) = network.add("a-1", encrypts=encrypts), network.add("b-1", encrypts=encrypts)
    frames = [b"%d" % n for n in range(3_000)] + [bytes(3_000_000), b"last"]
    for frame in frames:
        a.send("a-1", "b-1", frame)
    assert take(at_b, len(frames)) == frames
    b.send("b-1", "a-1", b"back")
    assert take(at_a, 1) == [b"back"]
    a.send("a-1", "a-1", b"to itself")
    assert take(at_a, 1) == [b"to itself"]


def test_several_senders_lose_nothing_and_keep_their_order(network: Network) -> None:
    (a, _), (_, at_b) = network.add("a-1"), network.add("b-1")

    def send(who: int) -> None:
        for n in range(1_000):
            a.send("a-1", "b-1", b"%d %d" % (who, n))

    threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]  # noqa: TID251 - of a test
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [tuple(map(int, each.split())) for each in take(at_b, 4_000)]
    for who in range(4):
        assert [n for sender, n in got if sender == who] == list(range(1_000))


def test_a_member_that_has_ended_is_known_by_its_closed_port(network: Network) -> None:
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    a.send("a-1", "b-1", b"one")
    take(at_b, 1)
    b.close("b-1")
    eventually(lambda: a.has_ended("b-1"), timeout=20.0)
    with pytest.raises(TransportError, match="its process has ended"):
        a.send("a-1", "b-1", b"two")


def test_a_connection_that_is_cut_is_made_again(network: Network) -> None:
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    a.send("a-1", "b-1", b"one")
    take(at_b, 1)
    assert b._thread is not None
    b._thread.call(lambda: [b._leave(each, "it was cut by a test") for each in list(b._incoming)])
    eventually(lambda: a.status()["b-1"]["lost"] == 1 and not a.status()["b-1"]["detail"], timeout=20.0)
    a.send("a-1", "b-1", b"two")
    assert take(at_b, 1) == [b"two"]


def test_a_member_that_a_firewall_has_cut_off_is_reached_again(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.cluster.transport._DOUBT", 0.3)
    (a, at_a), (b, at_b) = network.add("a-1"), network.add("b-1")
    places = network.members.places
    place = places["b-1"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Nothing listens there, so the connection is refused as by a firewall.
    places["b-1"] = LinkPlace(place.host, port, place.key)
    with suppress(TransportError):
        a.send("a-1", "b-1", b"one")
    eventually(lambda: a.has_ended("b-1"), timeout=20.0)
    # So it lets none in of `b-1` either, which gives it up in its turn.
    with suppress(TransportError):
        b.send("b-1", "a-1", b"two")
    places["b-1"] = place

    def arrives(sender: RayTransport, source: str, target: str, got: "queue.Queue[bytes]") -> bool:
        with suppress(TransportError):
            sender.send(source, target, b"again")
        return not got.empty()

    eventually(lambda: arrives(a, "a-1", "b-1", at_b), timeout=20.0)
    eventually(lambda: arrives(b, "b-1", "a-1", at_a), timeout=20.0)
    # A member that the directory gives up stays away.
    del places["b-1"]
    a.end("b-1", "b-1 has left the cluster")
    a._doubt(float("inf"))
    assert a.has_ended("b-1")


def test_nothing_comes_from_a_runtime_that_was_given_up(network: Network) -> None:
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    a.send("a-1", "b-1", b"one")
    take(at_b, 1)
    b.end("a-1", "a-1 has left the cluster")
    eventually(lambda: a.has_ended("b-1"), timeout=20.0)
    with pytest.raises(TransportError, match="has given this runtime up"):
        a.send("a-1", "b-1", b"two")
    with pytest.raises(TransportError, match="has left the cluster"):
        b.send("b-1", "a-1", b"three")
    assert at_b.empty()


def test_a_port_that_another_runtime_has_taken_over_ends_the_earlier_one(network: Network) -> None:
    (a, _), (_, at_b) = network.add("a-1"), network.add("b-2")
    network.members.places["b-1"] = network.members.places["b-2"]
    a.send("a-1", "b-1", b"one")
    eventually(lambda: a.has_ended("b-1"), timeout=20.0)
    with pytest.raises(TransportError, match="not there any more"):
        a.send("a-1", "b-1", b"two")
    with pytest.raises(TransportError, match="c-1 is not part of the cluster"):
        a.send("a-1", "c-1", b"two")
    assert at_b.empty()


def _knock(place: LinkPlace, source: str, key: bytes, first: bytes = _PLAIN, protocol: int = PROTOCOL) -> str:
    """Introduce a process by hand; return the refusal, and "closed" if it was not even answered."""
    with socket.create_connection((place.host, place.port), 10) as connection:
        connection.sendall(first)
        try:
            parts = [_receive(connection, 32), bytes(32), source, "b-1", b""]
            _send(connection, encode(LinkHello(protocol, VERSION, source, "b-1", bytes(32), _proof(key, "hello", parts))))
            answer = decode(_receive_part(connection), LinkAnswer)
        except OSError:
            return "closed"
        if not answer.refusal:
            assert hmac.compare_digest(answer.proof, _proof(key, "answer", parts))
        return answer.refusal


def test_only_members_get_in(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    assert _knock(b.place, "a-1", a.place.key) == ""
    assert _knock(b.place, "a-1", bytes(32)) == "stranger"
    assert _knock(b.place, "x-1", bytes(32)) == "stranger"
    assert "speaks version" in _knock(b.place, "a-1", a.place.key, protocol=99)
    assert _knock(b.place, "a-1", a.place.key, first=b"s") == "closed"
    assert at_b.empty()
    assert "is not let in" in caplog.text
    assert a.place.key.hex() not in repr(a.place)
    assert repr(a.place.key) not in repr(network.members.member("a-1"))


def test_strangers_keep_no_place_that_a_member_needs(network: Network) -> None:
    (a, _), (b, at_b) = network.add("a-1", encrypts=True), network.add("b-1", encrypts=True)
    with ExitStack() as stack:
        strangers = [
            stack.enter_context(socket.create_connection((b.place.host, b.place.port), 10))
            for _ in range(2 * admission._AT_ONCE)
        ]
        for each in strangers:
            each.sendall(b"s")
        a.send("a-1", "b-1", b"one")
        assert take(at_b, 1) == [b"one"]
        # The first have been ended for the last.
        strangers[0].settimeout(20)
        with suppress(ConnectionError):
            assert strangers[0].recv(1) == b""


def test_an_introduction_ends_in_time_however_slowly_it_comes(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(introduction, "_WITHIN", 0.3)
    b, _ = network.add("b-1")
    with socket.create_connection((b.place.host, b.place.port), 10) as stranger:
        stranger.sendall(_PLAIN)
        assert len(_receive(stranger, 32)) == 32
        stranger.sendall((9_000).to_bytes(4, "big"))
        stranger.settimeout(0.05)

        def goes_on() -> bool:
            # A byte in less than the time that a single read may take.
            try:
                stranger.sendall(b"x")
                return bool(stranger.recv(1))
            except TimeoutError:
                return True
            except OSError:
                return False

        eventually(lambda: not goes_on(), timeout=20)
    eventually(lambda: "it introduced itself too slowly" in caplog.text, timeout=20)


def test_a_flood_of_strangers_does_not_fill_the_log(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    b, _ = network.add("b-1")
    for _ in range(30):
        assert _knock(b.place, "x-1\nnode b-1 is well", bytes(32)) == "stranger"

    def refusals() -> list[str]:
        return [each.message for each in caplog.records if "was refused" in each.message]

    eventually(lambda: len(refusals()) == 1 and sum(count for _, count in _admissions(b)._refusals.values()) == 29, timeout=20)
    assert refusals()[0].endswith(r"was refused: ConnectionError: 'x-1\nnode b-1 is well' is not let in: stranger")


def _admissions(transport: RayTransport) -> admission.Admissions:
    assert transport._admissions is not None
    return transport._admissions


def test_connections_that_were_lost_without_a_word_do_not_pile_up(network: Network) -> None:
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    thread = b._thread
    assert thread is not None
    with ExitStack() as stack:
        lost = [tuple(stack.enter_context(each) for each in socket.socketpair()) for _ in range(10)]
        for here, _ in lost:
            thread.call(lambda here=here: b._enter("a-1", here))  # type: ignore[misc]
        a.send("a-1", "b-1", b"one")
        assert take(at_b, 1) == [b"one"]
        eventually(lambda: len(b._incoming) == 4, timeout=20)
        assert lost[0][1].recv(1) == b""
        a.send("a-1", "b-1", b"two")
        assert take(at_b, 1) == [b"two"]


def test_a_process_without_descriptors_takes_members_again_later(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    (a, _), (b, at_b) = network.add("a-1"), network.add("b-1")
    admissions, listener = _admissions(b), b._listener
    tried = threading.Event()

    class Exhausted:
        def accept(self) -> Any:
            monkeypatch.setattr(admissions, "_listener", listener)
            tried.set()
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(admission, "_REST", 0.2)
    monkeypatch.setattr(admissions, "_listener", Exhausted())
    a.send("a-1", "b-1", b"one")
    assert tried.wait(20)
    assert take(at_b, 1) == [b"one"]


def test_a_member_with_another_certificate_is_not_connected_to(network: Network) -> None:
    (a, _), (_, at_b) = network.add("a-1", encrypts=True), network.add("b-1", encrypts=True)
    place = network.members.places["b-1"]
    network.members.places["b-1"] = LinkPlace(place.host, place.port, place.key, bytes(32))
    a.send("a-1", "b-1", b"one")
    eventually(lambda: "another certificate" in a.status()["b-1"]["detail"], timeout=20.0)
    assert at_b.empty()


def test_a_member_that_takes_nothing_holds_its_senders_back(network: Network) -> None:
    limits = LinkLimits(queue_messages=10, queue_bytes=1_000_000, send_timeout=0.2)
    (a, _), (b, at_b) = network.add("a-1", limits), network.add("b-1")
    a.send("a-1", "b-1", b"one")
    take(at_b, 1)
    goes_on, holds = threading.Event(), threading.Event()
    assert b._thread is not None

    def hold() -> None:
        holds.set()
        goes_on.wait(20)

    b._thread.call(hold)
    assert holds.wait(20)
    sent = 0
    while a.room("b-1") is None:
        a.send("a-1", "b-1", bytes(100_000))
        sent += 1
    room = a.room("b-1")
    assert room is not None
    for _ in range(30):
        with suppress(TransportError):
            a.send("a-1", "b-1", bytes(100_000))
            sent += 1
    with pytest.raises(TransportError, match="takes them too slowly"):
        a.send("a-1", "b-1", bytes(100_000))
    # Its senders wait for `send_timeout` at most.
    eventually(lambda: bool(room.done), timeout=20.0)
    goes_on.set()
    assert len(take(at_b, sent)) == sent
    eventually(lambda: a.room("b-1") is None, timeout=20.0)


def test_a_stop_sends_what_waits(network: Network) -> None:
    (a, _), (_, at_b) = network.add("a-1"), network.add("b-1")
    for n in range(500):
        a.send("a-1", "b-1", b"%d" % n)
    a.close("a-1")
    assert take(at_b, 500) == [b"%d" % n for n in range(500)]
    with pytest.raises(TransportError, match="has stopped"):
        a.send("a-1", "b-1", b"more")
    other: Callable[[bytes], None] = at_b.put
    with pytest.raises(TransportError, match="give each runtime its own"):
        a.bind("a-2", other)
