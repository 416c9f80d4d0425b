"""Two runtimes that know each other: agents ask, watch and stop across."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from coterie import (
    Agent,
    AgentRef,
    AgentStopped,
    AskTimeout,
    HandlerFailed,
    MailboxFull,
    MailboxPolicy,
    Message,
    Reply,
    Request,
    Runtime,
    Unhandled,
    UnknownAgent,
    on,
)
from coterie.errors import EncodeFailed, TransportError
from coterie.errors.definition import DecodeFailed
from coterie.errors.general import RemoteError
from coterie.kernel import Address
from coterie.messaging import LocalTransport, Reason
from coterie.runtime import Supervision
from coterie.runtime.nodes.wire import encode_error
from coterie.testing import LossyTransport, ManualClock, eventually, wait_until_idle
from coterie.testing.conformance.base import (
    Ask,
    Block,
    Echo,
    Fail,
    Gate,
    Gatekeeper,
    Note,
    Notes,
    Recorder,
    Sleep,
    Unknown,
)
from coterie.testing.conformance.supervising import AT_ONCE
from coterie.testing.conformance.supervision_groups import News, Watch, Watcher


class Clerk(Agent):
    """Passes asks on."""

    def __init__(self, to: AgentRef) -> None:
        self.to = to

    @on
    def sleep(self, message: Sleep) -> Reply[int]:
        return self.to.ask(message, timeout=None)


class Pair:
    """Two runtimes, here and there, on one transport."""

    def __init__(self, stack: ExitStack, transport: Any, **options: Any) -> None:
        self.transport = transport
        self.here = stack.enter_context(Runtime("here", transport=transport, **options))
        self.there = stack.enter_context(Runtime("there", transport=transport, **options))

    def seen_from_here(self, agent: AgentRef) -> AgentRef:
        return self.here.reference(str(agent.address))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, LocalTransport())


class Opaque(Request[Any]):
    """Asks for something that cannot be sent."""


class Odd(Recorder):
    @on
    def opaque(self, message: Opaque) -> Any:
        return object()


class Holder(Message):
    what: Any


def test_agents_ask_and_tell_across_nodes(pair: Pair) -> None:
    agent = pair.seen_from_here(pair.there.spawn(Recorder))
    for n in range(20):
        agent.tell(Note(n))
    assert agent.ask(Notes()).result(10) == list(range(20))
    assert agent.ask(Sleep(0.0, 3)).result(10) == 3
    assert agent.is_alive


def test_references_go_across_and_come_back(pair: Pair) -> None:
    local = pair.here.spawn(Recorder, name="local")
    asker = pair.seen_from_here(pair.there.spawn(Recorder))
    assert asker.ask(Ask(local, 7)).result(10) == 7


def test_an_agent_can_be_asked_for_by_its_name(pair: Pair) -> None:
    pair.there.spawn(Recorder, name="known")
    agent = pair.here.reference(Address(pair.there.node, "known"))
    assert agent.ask(Echo(5)).result(10) == 5


def test_decoded_errors_equal_the_encoded_ones(pair: Pair) -> None:
    agent = pair.seen_from_here(pair.there.spawn(Recorder, name="far", supervision=Supervision(backoff=AT_ONCE)))
    with pytest.raises(HandlerFailed, match=r"far failed to handle Fail: ValueError: broken") as caught:
        agent.ask(Fail("broken")).result(10)
    assert isinstance(caught.value.__cause__, RemoteError)
    assert "raise ValueError(message.text)" in caught.value.traceback_text
    with pytest.raises(Unhandled, match="it has no handler for that type"):
        agent.ask(Unknown()).result(10)


def test_an_agent_that_never_existed_is_unknown_and_an_ended_one_has_stopped(pair: Pair) -> None:
    nobody = pair.here.reference(f"coterie://{pair.there.node}/nobody")
    with pytest.raises(UnknownAgent, match="nobody"):
        nobody.ask(Echo(1)).result(10)
    assert not nobody.is_alive
    agent = pair.there.spawn(Recorder, name="gone")
    far = pair.seen_from_here(agent)
    agent.stop().result(10)
    with pytest.raises(AgentStopped, match="gone cannot handle Echo"):
        far.ask(Echo(1)).result(10)
    assert not far.is_alive
    far.tell(Note(1))
    eventually(
        lambda: [letter.reason for letter in pair.there.dead_letters] == [Reason.UNKNOWN, Reason.STOPPED, Reason.STOPPED]
    )


def test_a_missing_node_is_reported_at_once(pair: Pair) -> None:
    nowhere = pair.here.reference("coterie://nowhere/agent#3")
    with pytest.raises(UnknownAgent, match="no node nowhere is bound here"):
        nowhere.ask(Echo(1)).result(10)
    nowhere.tell(Note(1))
    assert [letter.reason for letter in pair.here.dead_letters] == [Reason.UNDELIVERABLE] * 2
    with pytest.raises(UnknownAgent, match="no node nowhere is bound here"):
        nowhere.stop().result(10)


def test_a_message_that_cannot_be_sent_is_refused_at_the_sender(pair: Pair) -> None:
    agent = pair.seen_from_here(pair.there.spawn(Recorder))
    with pytest.raises(EncodeFailed, match=r"cannot encode a Holder: .*Runtime has no form on the wire"):
        agent.tell(Holder(pair.here))
    assert pair.here.metrics().totals.sent == 0


def test_an_answer_that_cannot_be_sent_fails_its_ask_with_the_reason(pair: Pair) -> None:
    agent = pair.seen_from_here(pair.there.spawn(Odd, name="odd"))
    with pytest.raises(
        HandlerFailed, match=r"odd failed to handle Opaque: its answer is not what can be sent: cannot encode a object"
    ):
        agent.ask(Opaque()).result(10)
    assert agent.ask(Echo(1)).result(10) == 1


def test_strict_runtimes_refuse_unencodable_messages_locally() -> None:
    with Runtime(strict=True) as runtime:
        agent = runtime.spawn(Odd, name="odd")
        with pytest.raises(EncodeFailed):
            agent.tell(Holder(runtime))
        with pytest.raises(HandlerFailed, match="its answer is not what can be sent"):
            agent.ask(Opaque()).result(10)
        with pytest.raises(DecodeFailed, match=r"Expected `int`, got `str` - at `\$\.n`"):
            agent.tell(Echo("text"))  # type: ignore[arg-type] # on purpose
        assert runtime.metrics().totals.sent == 1


def test_a_full_mailbox_elsewhere_rejects_and_is_waited_for(pair: Pair) -> None:
    gate = Gate()
    agent = pair.there.spawn(Gatekeeper, gate, name="full", mailbox=MailboxPolicy.reject(1))
    far = pair.seen_from_here(agent)
    far.tell(Block(0))
    gate.wait_for_entry()
    far.tell(Note(1))
    with pytest.raises(MailboxFull, match="full refused Echo"):
        far.ask(Echo(1)).result(10)
    far.tell(Note(2))
    eventually(lambda: [letter.reason for letter in pair.there.dead_letters] == [Reason.FULL])
    gate.open()
    wait_until_idle(pair.there)
    assert far.ask(Notes()).result(10) == [0, 1]


def test_agents_are_stopped_and_watched_across_nodes(pair: Pair) -> None:
    agent = pair.there.spawn(Recorder, name="watched", supervision=Supervision(backoff=AT_ONCE))
    far = pair.seen_from_here(agent)
    watcher = pair.here.spawn(Watcher)
    watcher.tell(Watch(far))
    watcher.ask(News()).result(10)
    with pytest.raises(HandlerFailed):
        far.ask(Fail("once")).result(10)
    eventually(lambda: len(watcher.ask(News()).result(10)) == 1)
    far.stop().result(10)
    assert not far.is_alive
    eventually(lambda: watcher.ask(News()).result(10) == ["watched restarted 1: ValueError: once", "watched stopped: "])
    watcher.tell(Watch(far))
    eventually(lambda: len(watcher.ask(News()).result(10)) == 3)


def test_an_ask_that_times_out_here_cancels_the_handler_there() -> None:
    clock = ManualClock()
    with ExitStack() as stack:
        pair = Pair(stack, LocalTransport(), clock=clock)
        agent = pair.there.spawn(Recorder)
        reply = pair.seen_from_here(agent).ask(Sleep(60.0), timeout=1.0)
        wait_until_idle(pair.there)
        clock.advance(1.0)
        assert isinstance(reply.exception(), AskTimeout)
        eventually(lambda: pair.there.metrics().totals.cancelled == 1)
        assert agent.ask(Echo(1)).result(10) == 1
        assert pair.there._services.node_link._asking == {}
        assert pair.here._services.node_link._asked == {}


@pytest.mark.parametrize("away", [True, False])
@pytest.mark.parametrize("strict", [True, False])
def test_an_ask_that_was_passed_on_is_cancelled_with_the_one_it_answers(*, away: bool, strict: bool) -> None:
    clock = ManualClock()
    with ExitStack() as stack:
        pair = Pair(stack, LocalTransport(), clock=clock, strict=strict)
        recorder = pair.there.spawn(Recorder)
        clerk = pair.there.spawn(Clerk, recorder)
        asked = pair.seen_from_here(clerk) if away else clerk
        assert asked.ask(Sleep(0.0, 5), timeout=None).result(10) == 5
        reply = asked.ask(Sleep(60.0), timeout=1.0)
        eventually(lambda: pair.there.health()[recorder.name].state == "waiting")
        clock.advance(1.0)
        assert isinstance(reply.exception(), AskTimeout)
        eventually(lambda: pair.there.metrics().totals.cancelled == 1)
        assert recorder.ask(Echo(1), timeout=None).result(10) == 1


def test_asks_end_whatever_gets_lost() -> None:
    clock = ManualClock()
    transport = LossyTransport(5, drop=0.3, duplicate=0.2, reorder=0.3, delay=(0.0, 0.05), clock=clock)
    with ExitStack() as stack:
        pair = Pair(stack, transport, clock=clock)
        agent = pair.seen_from_here(pair.there.spawn(Recorder))
        replies = [agent.ask(Echo(n), timeout=5.0) for n in range(200)]
        for _ in range(60):
            clock.advance(0.1, lambda: (wait_until_idle(pair.here), wait_until_idle(pair.there)))
        assert all(reply.done for reply in replies)
        answered = [n for n, reply in enumerate(replies) if reply.exception() is None]
        assert {type(reply.exception()) for reply in replies} == {type(None), AskTimeout}
        assert [replies[n].result() for n in answered] == answered
        assert 50 < len(answered) < 150
        handled = pair.there.metrics().totals.handled
        assert len(answered) < handled < 200
        assert pair.there.metrics().link["duplicates"] > 0
        assert pair.here._services.node_link._asked == {}


def test_repeated_frames_are_handled_once_and_reordered_frames_in_order() -> None:
    clock = ManualClock()
    transport = LossyTransport(6, duplicate=0.5, reorder=0.5, behind=0.02, clock=clock)
    with ExitStack() as stack:
        pair = Pair(stack, transport, clock=clock)
        agent = pair.seen_from_here(pair.there.spawn(Recorder))
        for n in range(300):
            agent.tell(Note(n))
        clock.advance(1.0, lambda: wait_until_idle(pair.there))
        reply = agent.ask(Notes())
        for _ in range(20):
            clock.advance(0.01, lambda: (wait_until_idle(pair.here), wait_until_idle(pair.there)))
        assert reply.result(10) == list(range(300))
        assert pair.there.metrics().link["lost"] == 0


def test_losses_are_counted_by_the_gaps_they_leave() -> None:
    clock = ManualClock()
    transport = LossyTransport(7, drop=0.2, clock=clock)
    with ExitStack() as stack:
        pair = Pair(stack, transport, clock=clock)
        agent = pair.seen_from_here(pair.there.spawn(Recorder))
        for n in range(500):
            agent.tell(Note(n))
        transport.drop = 0.0
        agent.tell(Note(500))
        clock.advance(1_000.0, lambda: wait_until_idle(pair.there))
        link = pair.there.metrics().link
        assert link["delivered"] + link["lost"] == 501
        assert link["lost"] == transport.counts["dropped"]
        assert pair.there.metrics().totals.handled == link["delivered"]


@pytest.mark.parametrize("garbage", [b"garbage", b"\x82\xa4type\xa7deliver\xa4more" + b"\x91" * 100_000 + b"\x01"])
def test_garbage_on_the_wire_is_discarded_and_named(pair: Pair, caplog: pytest.LogCaptureFixture, garbage: bytes) -> None:
    agent = pair.seen_from_here(pair.there.spawn(Recorder))
    with caplog.at_level(logging.WARNING):
        pair.here._services.node_link.link.send(pair.there.node, garbage)
        pair.transport.send("x", pair.there.node, b"\xc1")
    assert "makes no sense and was discarded" in caplog.text
    assert "not a frame were discarded" in caplog.text
    assert agent.ask(Echo(1)).result(10) == 1


def test_a_frame_that_cannot_be_carried_out_is_one_error_and_the_next_ones_go_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [pair.seen_from_here(pair.there.spawn(Recorder)) for _ in range(2)]
    recipient = pair.there._services.recipient

    def broken(address: Address) -> Any:
        if address == agents[0].address:
            raise OSError("the disk is full")
        return recipient(address)

    monkeypatch.setattr(pair.there._services, "recipient", broken)
    with pytest.raises(HandlerFailed, match="its node could not take the message: OSError: the disk is full"):
        agents[0].ask(Echo(1)).result(10)
    assert agents[1].ask(Echo(2)).result(10) == 2
    assert "could not be carried out" in caplog.text


def test_a_message_of_a_class_that_is_not_known_there_is_named(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    class Private(Request[int]):
        pass

    agent = pair.seen_from_here(pair.there.spawn(Recorder))
    with pytest.raises(HandlerFailed, match="no such class is known here; import its module"):
        agent.ask(Private()).result(10)
    with caplog.at_level(logging.WARNING):
        agent.tell(Private())
    assert "Private" in caplog.text


def test_a_partition_ends_asks_by_their_deadline_and_healing_brings_them_back() -> None:
    clock = ManualClock()
    transport = LossyTransport(clock=clock)
    with ExitStack() as stack:
        pair = Pair(stack, transport, clock=clock)
        agent = pair.seen_from_here(pair.there.spawn(Recorder))
        transport.partition([pair.here.node], [pair.there.node])
        reply = agent.ask(Echo(1), timeout=2.0)
        clock.advance(2.0)
        assert isinstance(reply.exception(), AskTimeout)
        transport.heal()
        again = agent.ask(Echo(2), timeout=2.0)
        clock.advance(0.1, lambda: (wait_until_idle(pair.here), wait_until_idle(pair.there)))
        assert again.result(10) == 2


class Narrow(LocalTransport):
    """Carries small frames only."""

    def send(self, source: str, target: str, frame: bytes) -> None:
        if len(frame) > 2_000:
            raise self.error(len(frame))
        super().send(source, target, frame)

    def error(self, size: int) -> Exception:
        return TransportError(f"{size} bytes are too many")


class Careless(Narrow):
    """And raises what a transport should not."""

    def error(self, size: int) -> Exception:
        return OSError(f"{size} bytes are too many")


class Large(Request[str]):
    pass


class Talker(Recorder):
    @on
    def large(self, message: Large) -> str:
        return "x" * 10_000


@pytest.mark.parametrize("transport", [Narrow, Careless])
def test_an_answer_that_the_transport_refuses_fails_its_ask(transport: type[LocalTransport]) -> None:
    with ExitStack() as stack:
        pair = Pair(stack, transport())
        agent = pair.seen_from_here(pair.there.spawn(Talker))
        with pytest.raises(HandlerFailed, match=r"the answer could not be sent: .*bytes are too many"):
            agent.ask(Large()).result(10)
        assert agent.ask(Echo(1)).result(10) == 1


class Say(Message):
    text: str


class Sayer(Agent):
    @on
    def say(self, message: Say) -> None:
        raise ValueError("cannot read caf\udce9.txt " + "x" * len(message.text))


def test_the_end_of_an_agent_arrives_whatever_its_error_says(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    # Tests that run in parallel could not report what this one logs.
    caplog.set_level(logging.CRITICAL + 1, "coterie")
    watcher = pair.here.spawn(Watcher)
    far = pair.there.spawn(Sayer, supervision=Supervision(max_restarts=0))
    watcher.tell(Watch(pair.seen_from_here(far)))
    assert watcher.ask(News()).result(10) == []  # it watches
    far.tell(Say("x" * 100_000))
    eventually(lambda: bool(watcher.ask(News()).result(10)))
    assert not far.is_alive
    (news,) = watcher.ask(News()).result(10)
    assert "failed" in str(news)


def test_a_failure_of_any_length_arrives_with_a_part_of_its_text(pair: Pair) -> None:
    frame = encode_error(1, HandlerFailed("agent", "Say", "x" * 1_000_000))
    assert len(frame.text) < 110_000
    assert "characters ..." in frame.text
