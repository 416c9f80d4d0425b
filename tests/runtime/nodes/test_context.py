"""The context of a message between nodes: its deadline, the trace context, and chosen context variables."""

import enum
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import Any

import pytest

from coterie import Agent, AgentRef, Message, Request, Runtime, Stream, on
from coterie.errors import EncodeFailed, InvalidSetting
from coterie.messaging import LocalTransport
from coterie.runtime.nodes.wire import DeliverFrame
from coterie.runtime.references.context_carrier import CarriedContext
from coterie.telemetry import current_traceparent, traceparent
from coterie.testing import ManualClock, eventually, wait_until_idle

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
tenant: ContextVar[Any] = ContextVar("tenant", default="nobody")
private: ContextVar[Any] = ContextVar("private", default="nothing")


class Read(Request[list[Any]]):
    pass


class ReadAsync(Request[list[Any]]):
    pass


class ReadFar(Request[list[Any]]):
    to: AgentRef


class ReadEach(Stream[Any]):
    pass


class Note(Message):
    pass


class Noted(Request[list[Any]]):
    pass


class Left(Request[float]):
    pass


def here() -> list[Any]:
    return [tenant.get(), private.get(), current_traceparent()]


class Reader(Agent):
    def __init__(self) -> None:
        self.noted: list[Any] = []

    @on
    def read(self, message: Read) -> list[Any]:
        return here()

    @on
    async def read_async(self, message: ReadAsync) -> list[Any]:
        return here()

    @on
    async def read_far(self, message: ReadFar) -> list[Any]:
        return await message.to.ask(Read())

    @on
    async def read_each(self, message: ReadEach) -> AsyncIterator[Any]:
        for each in here():
            yield each

    @on
    def note(self, message: Note) -> None:
        self.noted += here()

    @on
    def read_notes(self, message: Noted) -> list[Any]:
        return self.noted

    @on
    def left(self, message: Left) -> float:
        assert self.context.deadline is not None
        return self.context.deadline - self.context.runtime.clock.monotonic()


class Pair:
    def __init__(self, stack: ExitStack, **options: Any) -> None:
        wire = LocalTransport()
        self.here = stack.enter_context(Runtime("here", transport=wire, context=[tenant], **options))
        self.there = stack.enter_context(Runtime("there", transport=wire, context=[tenant], **options))
        self.agent = self.here.reference(self.there.spawn(Reader).address)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


@contextmanager
def values(**given: Any) -> Iterator[None]:
    variables: dict[str, ContextVar[Any]] = {"tenant": tenant, "private": private, "trace": traceparent}
    tokens = [(variables[name], variables[name].set(value)) for name, value in given.items()]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def test_chosen_variables_and_the_trace_reach_the_handler_on_another_node(pair: Pair) -> None:
    with values(tenant="acme", private="secret", trace=PARENT):
        expected = ["acme", "nothing", PARENT]
        assert pair.agent.ask(Read()).result(10) == pair.agent.ask(ReadAsync()).result(10) == expected
        assert list(pair.agent.stream(ReadEach())) == expected
        pair.agent.tell(Note())
        eventually(lambda: pair.agent.ask(Noted()).result(10) == expected)
        # And from there back here: the context of the handler is that of its messages.
        back = pair.here.spawn(Reader)
        assert pair.agent.ask(ReadFar(back)).result(10) == expected
    assert pair.agent.ask(Read()).result(10) == ["nobody", "nothing", None]


@pytest.mark.parametrize("value", ["text", 7, -1.5, True, None, b"\x00", [1, {"a": [None]}], {"a": "b"}, ""])
def test_values_of_plain_data_arrive_as_they_were(pair: Pair, value: Any) -> None:
    with values(tenant=value):
        assert pair.agent.ask(Read()).result(10)[0] == value


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize("value", [object(), (1, 2), {1, 2}, Colour.RED, Note(), {1: (2,)}, lambda: None, "x" * 9_000])
def test_a_value_that_is_not_plain_data_or_too_large_is_refused_at_the_sender(pair: Pair, value: Any) -> None:
    with values(tenant=value):
        with pytest.raises(EncodeFailed, match="tenant"):
            pair.agent.tell(Note())
        with pytest.raises(EncodeFailed, match="tenant"):
            pair.agent.ask(Read())
        # Within a process it goes as it is.
        assert pair.here.spawn(Reader).ask(ReadAsync()).result(10)[1] == "nothing"
    assert pair.agent.ask(Noted()).result(10) == []


def test_a_variable_that_the_other_node_has_not_chosen_is_ignored_there() -> None:
    wire = LocalTransport()
    with Runtime("here", transport=wire, context=[tenant, private]) as here_, Runtime("there", transport=wire) as there:
        agent = here_.reference(there.spawn(Reader).address)
        with values(tenant="acme", private="secret", trace=PARENT):
            assert agent.ask(Read()).result(10) == ["nobody", "nothing", PARENT]


def test_a_malformed_trace_of_the_sender_goes_nowhere(pair: Pair) -> None:
    with values(trace="nonsense", tenant="acme"):
        assert pair.agent.ask(Read()).result(10) == ["acme", "nothing", None]


@pytest.mark.parametrize(
    "carried",
    [
        CarriedContext({"traceparent": "nonsense"}, {}),
        CarriedContext({"traceparent": PARENT.upper(), "tracestate": "x" * 10_000}, {}),
        CarriedContext({}, {"tenant": b"\xc1"}),
        CarriedContext({}, {"tenant": b""}),
        CarriedContext({}, {"tenant": b"\x91" * 5_000}),
        CarriedContext({}, {"tenant": b"\xda\xff\xff" + b"x" * 65_535}),
        CarriedContext({}, {"private": b"\xa1x", "coterie_invocation": b"\xa1x", "": b"\xa1x"}),
        CarriedContext(),
    ],
)
def test_a_context_from_the_wire_that_makes_no_sense_is_ignored(pair: Pair, carried: CarriedContext) -> None:
    services = pair.here._services
    answers: list[Any] = []
    services.node_link.expect(pair.there.node, 99, answers.append)
    frame = DeliverFrame(pair.agent.address, services.codec.pack(Read()), None, 2, 99, context=carried)
    services.node_link.send(pair.there.node, frame)
    eventually(lambda: answers != [])
    assert services.codec.decode(answers[0].body, list[Any]) == ["nobody", "nothing", None]


def test_a_value_from_the_wire_that_makes_no_sense_is_named(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    carrier = pair.there._services.carrier
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            carrier.unpack(CarriedContext({}, {"tenant": b"\xc1"}))
    assert 1 <= caplog.text.count("the context variable 'tenant' makes no sense, and was left out") <= 10


def test_the_time_that_is_left_for_an_ask_is_the_deadline_on_the_other_node() -> None:
    clock = ManualClock()
    with ExitStack() as stack:
        pair = Pair(stack, clock=clock)
        wait_until_idle(pair.there)
        assert pair.agent.ask(Left(), timeout=7.0).result(10) == pytest.approx(7.0)


def test_the_whole_context_goes_along_within_a_process_in_strict_mode_too() -> None:
    for strict in False, True:
        with Runtime(strict=strict) as runtime, values(tenant=Colour.RED, private="secret", trace=PARENT):
            agent = runtime.spawn(Reader)
            agent.tell(Note())
            eventually(partial(_has_noted, runtime, agent, "secret"))


def _has_noted(runtime: Runtime, agent: AgentRef, text: str) -> bool:
    return text in str(runtime.inspect(agent).attributes)


def test_over_a_transport_strict_mode_carries_what_would_leave_the_process() -> None:
    with (
        Runtime(strict=True, transport=LocalTransport(), context=[tenant]) as runtime,
        values(tenant="acme", private="secret", trace=PARENT),
    ):
        assert runtime.spawn(Reader).ask(Read()).result(10) == ["acme", "nothing", PARENT]


@pytest.mark.parametrize("chosen", [7, ["tenant"], [tenant, tenant], [tenant, ContextVar("tenant")], [None]])
def test_variables_that_cannot_be_chosen_are_refused(chosen: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"Runtime\.context"):
        Runtime(context=chosen)


def test_a_context_that_arrives_is_new(pair: Pair) -> None:
    carrier = pair.there._services.carrier
    context = carrier.unpack(CarriedContext({}, {"tenant": b"\xa1x"}))
    assert isinstance(context, Context)
    assert [variable.name for variable in context] == ["tenant"]
