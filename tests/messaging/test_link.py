from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import decode, encode

from coterie.concurrency import Timers, start_thread
from coterie.errors import TransportError
from coterie.kernel import SystemClock
from coterie.messaging import LocalTransport
from coterie.messaging.link import Link, LinkStatistics, _Peer
from coterie.testing import Interleaver, LossyTransport, ManualClock
from tests.runs import runs


class Wire:
    """A transport that keeps frames until the test delivers them, as it likes."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.nodes: dict[str, object] = {}

    def bind(self, node: str, receive: object) -> None:
        self.nodes[node] = receive

    def send(self, source: str, target: str, frame: bytes) -> None:
        self.frames.append((target, frame))

    def close(self, node: str) -> None:
        self.nodes.pop(node, None)


class Ends:
    """Two nodes, a link at each, and what has arrived at the second."""

    def __init__(self, patience: float = 1.0, most_early: int = 10_000) -> None:
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.wire = Wire()
        self.arrived: list[int] = []
        self.here = Link("here", self.wire, self.timers, lambda *_: None)
        self.there = Link("there", self.wire, self.timers, self.deliver, patience, most_early)

    def deliver(self, source: str, payload: bytes) -> None:
        assert source == "here"
        self.arrived.append(int(payload))

    def send(self, count: int) -> list[bytes]:
        for n in range(count):
            self.here.send("there", str(n).encode())
        frames = [frame for _, frame in self.wire.frames]
        self.wire.frames.clear()
        return frames


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 11), max_size=40),
    st.lists(st.floats(0, 2), max_size=40),
)
def test_whatever_arrives_is_delivered_once_and_in_order_and_the_rest_is_counted(picks: list[int], waits: list[float]) -> None:
    ends = Ends()
    frames = ends.send(12)
    received = 0
    for n, pick in enumerate(picks):
        ends.there.receive(frames[pick])
        received += 1
        ends.clock.advance(waits[n] if n < len(waits) else 0.0)
    ends.clock.advance(100.0)
    statistics = ends.there.statistics
    assert ends.arrived == sorted(set(ends.arrived))
    assert set(ends.arrived) <= set(picks)
    assert statistics.delivered == len(ends.arrived)
    assert statistics.delivered + statistics.duplicates + statistics.late == received
    if picks:
        # What was given up is what is missing below the greatest number that was seen.
        assert statistics.delivered + statistics.lost == max(picks) + 1
        assert statistics.late <= statistics.lost


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 11), max_size=8), max_size=8))
def test_frames_that_arrive_together_are_delivered_as_one_by_one(batches: list[list[int]]) -> None:
    ends, single = Ends(), Ends()
    frames, same = ends.send(12), single.send(12)
    for batch in batches:
        ends.there.receive_all([frames[n] for n in batch])
        for n in batch:
            single.there.receive(same[n])
    for each in (ends, single):
        each.clock.advance(100.0)
    assert ends.arrived == single.arrived
    assert ends.there.statistics == single.there.statistics


def test_a_batch_may_hold_anything() -> None:
    ends = Ends()
    other = Link("other", ends.wire, ends.timers, lambda *_: None)
    frames = ends.send(3)
    other.send("there", b"7")
    question = ends.wire.frames.pop()[1]
    ends.here._ask_for_life("there")
    heartbeat = ends.wire.frames.pop()[1]
    arrived: list[tuple[str, bytes]] = []
    there = Link("there", ends.wire, ends.timers, lambda source, payload: arrived.append((source, payload)))
    there.receive_all([frames[0], b"no frame", frames[1], heartbeat, question, frames[2], frames[2]])
    assert arrived == [("here", b"0"), ("here", b"1"), ("other", b"7"), ("here", b"2")]
    assert (there.statistics.malformed, there.statistics.duplicates) == (1, 1)
    # The heartbeat was answered.
    assert [target for target, _ in ends.wire.frames] == ["here"]


def test_frames_that_are_early_wait_for_those_before_them() -> None:
    ends = Ends()
    frames = ends.send(4)
    for n in (1, 3, 2):
        ends.there.receive(frames[n])
    assert ends.arrived == []
    ends.there.receive(frames[0])
    assert ends.arrived == [0, 1, 2, 3]
    assert ends.timers.next_deadline() == 1.0  # that of the heartbeats


def test_a_gap_counts_as_lost_after_the_patience_of_the_link_and_later_frames_as_late() -> None:
    ends = Ends(patience=1.0)
    frames = ends.send(6)
    ends.there.receive(frames[0])
    ends.there.receive(frames[2])
    ends.clock.advance(0.5)
    ends.there.receive(frames[5])
    ends.clock.advance(0.25)
    assert ends.arrived == [0]
    ends.clock.advance(0.25)
    assert ends.arrived == [0, 2]
    ends.there.receive(frames[1])
    ends.there.receive(frames[1])
    ends.clock.advance(0.25)
    assert ends.arrived == [0, 2]
    # It has waited for a second itself, whenever the gap before it became the first.
    ends.clock.advance(0.25)
    assert ends.arrived == [0, 2, 5]
    assert asdict(ends.there.statistics) == asdict(
        LinkStatistics(sent=0, delivered=3, duplicates=1, lost=3, late=1, malformed=0)
    )


def test_many_gaps_cost_one_patience_and_not_one_each() -> None:
    ends = Ends(patience=1.0)
    frames = ends.send(20)
    for frame in frames[1::2]:
        ends.there.receive(frame)
    assert ends.arrived == []
    ends.clock.advance(1.0)
    assert ends.arrived == list(range(1, 20, 2))


def test_too_many_early_frames_end_the_wait() -> None:
    ends = Ends(patience=1_000.0, most_early=5)
    frames = ends.send(10)
    for frame in frames[1:]:
        ends.there.receive(frame)
    assert ends.arrived == list(range(1, 10))
    assert ends.there.statistics.lost == 1


@pytest.mark.parametrize("data", [b"", b"\x00", b"nonsense", b"\x93\x01\x02\x03", b"\x93\xa1a\xa1b\xc4\x00", b"\x91" * 100_000])
def test_data_that_are_not_a_frame_are_counted_and_named(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ends = Ends()
    with caplog.at_level(logging.WARNING):
        ends.there.receive(data)
    assert ends.there.statistics.malformed == 1
    assert "node there" in caplog.text


def test_frames_that_arrive_on_many_threads_are_handed_over_in_order() -> None:
    threads = Interleaver([Link._hand_over, Link._sort_in, Link._release, Link.receive])
    for seed in runs(40):
        with threads.locks():
            ends = Ends()
            ends.there._peers["here"] = _Peer()
        frames = ends.send(6)
        threads.run([lambda n=n: [ends.there.receive(frame) for frame in frames[n::3]] for n in range(3)], Random(seed))  # type: ignore[misc]
        assert ends.arrived == [0, 1, 2, 3, 4, 5]


def test_a_local_transport_knows_its_nodes() -> None:
    transport = LocalTransport()
    got: list[bytes] = []
    transport.bind("a", got.append)
    with pytest.raises(TransportError, match="the node a is bound already"):
        transport.bind("a", got.append)
    transport.send("b", "a", b"frame")
    assert got == [b"frame"]
    transport.close("a")
    transport.close("a")
    with pytest.raises(TransportError, match="no node a is bound here"):
        transport.send("b", "a", b"frame")


def lossy_run(seed: int) -> list[tuple[float, bytes]]:
    clock = ManualClock()
    transport = LossyTransport(seed, drop=0.3, duplicate=0.3, reorder=0.5, delay=(0.01, 0.1), clock=clock)
    got: list[tuple[float, bytes]] = []
    transport.bind("b-1234", lambda frame: got.append((clock.monotonic(), frame)))
    for n in range(100):
        transport.send("a-99", "b-1234", b"%d" % n)
    clock.advance(10.0)
    assert transport.counts["sent"] == 100
    assert len(got) == 100 - transport.counts["dropped"] + transport.counts["duplicated"]
    return got


def test_a_lossy_transport_does_the_same_for_the_same_seed() -> None:
    assert lossy_run(3) == lossy_run(3)
    assert lossy_run(3) != lossy_run(4)
    numbers = [int(frame) for _, frame in lossy_run(3)]
    assert numbers != sorted(numbers)
    assert len(set(numbers)) < 100


def test_a_partition_cuts_nodes_off_until_it_is_healed() -> None:
    transport = LossyTransport(clock=ManualClock())
    got: list[str] = []
    for node in ("a", "b", "c"):
        transport.bind(node, lambda frame: got.append(frame.decode()))
    transport.partition(["a"], ["b"])
    transport.send("a", "b", b"a-b")
    transport.send("b", "a", b"b-a")
    transport.send("a", "c", b"a-c")
    transport.send("c", "b", b"c-b")
    transport.heal()
    transport.send("a", "b", b"healed")
    assert got == ["a-c", "c-b", "healed"]
    assert transport.counts["cut off"] == 2
    with pytest.raises(TransportError):
        transport.send("a", "nobody", b"")
    for node in ("a", "b", "c"):
        transport.close(node)


def test_invalid_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        LossyTransport(drop=2)
    with pytest.raises(ValueError, match="a minimum and a maximum"):
        LossyTransport(delay=(2, 1))


def test_a_link_on_the_system_clock_gives_up_a_gap() -> None:
    timers = Timers(SystemClock())
    wire = Wire()
    arrived: list[bytes] = []
    here = Link("here", wire, timers, lambda *_: None)
    done = Event()

    def deliver(_: str, payload: bytes) -> None:
        arrived.append(payload)
        done.set()

    there = Link("there", wire, timers, deliver, patience=0.001)
    here.send("there", b"lost")
    here.send("there", b"found")
    there.receive(wire.frames[1][1])
    assert done.wait(10)
    assert arrived == [b"found"]
    there.close()
    here.close()
    timers.close()


def test_a_frame_that_the_transport_refuses_leaves_no_gap() -> None:
    class Choosy(LocalTransport):
        def send(self, source: str, target: str, frame: bytes) -> None:
            if b"refused" in frame:
                raise TransportError("not this one")
            super().send(source, target, frame)

    wire, got, timers = Choosy(), list[bytes](), Timers(ManualClock())
    here, there = (Link(name, wire, timers, lambda _, payload: got.append(payload)) for name in ("here", "there"))
    here.send("there", b"one")
    with pytest.raises(TransportError):
        here.send("there", b"refused")
    here.send("there", b"two")
    assert got == [b"one", b"two"]
    assert (here.statistics.sent, there.statistics.lost) == (2, 0)


class OrderedWire(Wire):
    """A transport with queues. While the first frame is queued, another thread sends the second."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: list[bytes] = []
        self.interrupts: list[Callable[[], object]] = []
        self.second = Event()

    def outbox(self, target: str) -> OrderedWire:
        return self

    def put(self, node: str, frame: bytes) -> None:
        while self.interrupts:
            start_thread(self.interrupts.pop(), "second")
            # It must not get in between; without the lock it would, within this time.
            self.second.wait(0.05)
        self.queued.append(frame)
        if len(self.queued) == 2:
            self.second.set()

    def flush(self) -> None:
        assert self.queued


def test_frames_of_several_threads_are_queued_in_the_order_of_their_numbers() -> None:
    wire, timers = OrderedWire(), Timers(SystemClock())
    link = Link("here", wire, timers, lambda *_: None)
    wire.interrupts.append(lambda: link.send("there", b"2"))
    link.send("there", b"1")
    assert wire.second.wait(10)
    assert [decode(frame) for frame in wire.queued] == [["here", 1, b"1"], ["here", 2, b"2"]]
    assert link.statistics.sent == 2
    link.close()
    timers.close()


def test_nodes_that_have_ended_are_forgotten_and_their_frames_still_count() -> None:
    class Gone(Wire):
        def send(self, source: str, target: str, frame: bytes) -> None:
            if decode(frame)[1] == 0:
                raise TransportError("it has ended")

    clock, forgotten = ManualClock(), list[str]()
    timers = Timers(clock)
    link = Link("here", Gone(), timers, lambda *_: None, forgotten=forgotten.append)
    names = [f"program-{n}" for n in range(1_200)]
    for name in names:
        link.send(name, b"question")
        link.receive(encode([name, 1, b"answer"]))
    # A node is asked for a sign of life at the second look.
    for _ in range(3):
        clock.advance(1.0)
    assert forgotten == names[:200]
    assert len(link._out) == len(link._peers) == 1_000
    assert (link.statistics.sent, link.statistics.delivered) == (1_200, 1_200)
    link.close()
    timers.close()
