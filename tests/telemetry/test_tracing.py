"""Traces: the spans of messages, turns, rounds, operations and requests, each within the right one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from coterie import Agent, Message, Request, Runtime, on
from coterie.conversation import Conversation, Secret, tool
from coterie.errors import HandlerFailed, InvalidSetting
from coterie.meetings import Meetings
from coterie.memory import AgentMemory, TieredMemory
from coterie.messaging import LocalTransport
from coterie.models import ModelGateway, ModelReply, ModelRequest, TextMessage, ToolCall, Usage
from coterie.rounds import Graph, Simulation, per_agent, together
from coterie.telemetry import Tracing, spans, traceparent
from coterie.testing import ManualClock
from coterie.testing.waiting import eventually
from coterie.work import ProcessingEngine
from coterie.world import World
from tests.conversation.scripted import Gate, Script, next_delivery, run
from tests.telemetry.collector import collector, read_file


class Add(Request[int]):
    amount: int = 1


class Bump(Message):
    pass


class Pass(Request[int]):
    """Ask the next agent, and tell it."""


class Fail(Request[int]):
    pass


class Counter(Agent):
    stored_name = "traced-counter"

    def __init__(self) -> None:
        self.count = 0

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count

    @on
    async def bump(self, _: Bump) -> None:
        self.count += 1

    @on(raises=ValueError)
    def fail(self, _: Fail) -> int:
        raise ValueError("the customer is 4711")

    @on
    def pass_on(self, _: Pass) -> int:
        self.context.runtime.entity(Counter, "b").tell(Bump())
        self.context.remind(60.0, Bump())
        return self.count


class Front(Agent):
    def __init__(self, counter: Any) -> None:
        self.counter = counter

    @on
    async def add(self, message: Add) -> int:
        self.counter.tell(Bump())
        return int(await self.counter.ask(message))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


@pytest.mark.parametrize("strict", [False, True])
def test_messages_are_within_the_spans_of_their_senders(file: Path, strict: bool) -> None:
    with Runtime(strict=strict) as runtime:
        counter = runtime.spawn(Counter, name="counter")
        front = runtime.spawn(Front, counter, name="front")
        # The handlers were looked up before the trace begins.
        front.ask(Add()).result()
        with Tracing(file), spans.span("request"):
            front.ask(Add()).result()
            with pytest.raises(HandlerFailed):
                counter.ask(Fail()).result()
            counter.tell(Bump())
            assert counter.ask(Add()).result() == 6
        front.ask(Add()).result()
    read = read_file(file)
    assert len({each.trace for each in read}) == 1
    request = read.one("request")
    outer = read.one("handle Add", coterie_agent="front")
    assert outer.parent == request.id
    inner = read.one("handle Add", coterie_sender="front")
    assert (inner.parent, inner.links) == (outer.id, ())
    assert inner.attributes["coterie.agent"] == "counter"
    told = [each for each in read.named("handle Bump") if each.parent == outer.id]
    assert [each.links for each in told] == [(outer.id,)]
    assert {each.parent for each in read.named("handle Bump")} == {outer.id, request.id}
    failed = read.one("handle Fail")
    assert failed.failed
    assert failed.attributes["error.type"] == "ValueError"
    assert "4711" not in file.read_text()
    assert len(read.named("handle Add")) == 3, "spans are made while the trace is open, and no longer"


def test_a_trace_goes_over_nodes(file: Path) -> None:
    wire = LocalTransport()
    with Tracing(file), Runtime("here", transport=wire) as here, Runtime("there", transport=wire) as there:
        counter = there.spawn(Counter, name="counter")
        front = here.spawn(Front, here.reference(str(counter.address)), name="front")
        assert front.ask(Add()).result(10) == 2
    read = read_file(file)
    outer = read.one("handle Add", coterie_agent="front")
    inner = read.one("handle Add", coterie_agent="counter")
    bumped = read.one("handle Bump")
    assert {inner.parent, bumped.parent} == {outer.id}
    assert {inner.trace, bumped.trace} == {outer.trace}
    assert bumped.links == (outer.id,)


def test_the_variable_of_a_program_without_opentelemetry_is_the_parent(file: Path) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with Runtime() as runtime, Tracing(file):
        counter = runtime.spawn(Counter)
        token = traceparent.set(f"00-{trace}-{parent}-01")
        counter.ask(Add()).result()
        traceparent.reset(token)
    handled = read_file(file).one("handle Add")
    assert (handled.trace, handled.parent) == (trace, parent)


def test_the_commit_of_a_durable_agent_and_its_messages_are_within_its_handler(file: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    with Tracing(file):
        with Runtime(store=tmp_path / "agents.db", clock=clock) as runtime:
            with spans.span("request"):
                runtime.entity(Counter, "a").ask(Pass()).result()
            eventually(lambda: runtime.entity(Counter, "b").ask(Add(0)).result() == 1)
        with Runtime(store=tmp_path / "agents.db", clock=clock) as runtime:
            runtime.durable.register(Counter)
            clock.advance(60.0)
            eventually(lambda: runtime.entity(Counter, "a").ask(Add(0)).result() == 1)
    read = read_file(file)
    handled = read.one("handle Pass")
    (commit,) = [each for each in read.named("commit") if each.parent == handled.id]
    assert commit.attributes["coterie.messages"] == 2
    # One came at once, the other as a reminder in the next runtime: both belong to the trace.
    bumps = read.named("handle Bump")
    assert [(each.parent, each.links) for each in bumps] == [(handled.id, (handled.id,))] * 2
    assert {each.trace for each in bumps} == {handled.trace}
    assert read.path(commit) == ["commit", "handle Pass", "request"]


def model(request: ModelRequest) -> ModelReply:
    if isinstance(request.exchanges[-1], TextMessage):
        call = ToolCall("c", "close_contract", {"number": "K-1", "pin": "0815"})
        return ModelReply(calls=(call,), usage=Usage(11, 3, 0.5), model="script-2")
    return ModelReply(text="It is on its way.", usage=Usage(20, 4), model="script-2")


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("gateway", [False, True])
def test_a_conversation_with_a_long_tool_is_read_back_from_a_collector(content: bool, gateway: bool) -> None:
    gate = Gate()

    @tool(long_running=True)
    async def close_contract(number: str, pin: Annotated[str, Secret]) -> str:
        with spans.span("inside"):
            await gate
        return f"{number} is closed"

    script = Script(model)

    async def work() -> None:
        answering = ModelGateway(script) if gateway else script
        async with Conversation(answering, [close_contract], namespace=("customer", "42")) as chat:
            with spans.span("request"):
                await chat.send("close my contract, my pin is 0815").answer()
            gate.set()
            await next_delivery(chat, 0)
            await chat.settle()
        if isinstance(answering, ModelGateway):
            answering.close()

    with collector() as received:
        with Tracing(received.url, content=content):
            run(work)
        read = received.spans
    request = read.one("request")
    turn = read.one("invoke_agent assistant", gen_ai_conversation_id="customer/42")
    assert turn.parent == request.id
    assert turn.attributes["gen_ai.operation.name"] == "invoke_agent"
    chats = read.named("chat script")
    assert [each.parent for each in chats] == [turn.id, turn.id]
    assert {each.kind for each in chats} == {3}
    first = min(chats, key=lambda each: each.began)
    about = first.attributes
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"], about["coterie.cost"]) == (11, 3, 0.5)
    assert about["gen_ai.response.model"] == "script-2"
    operation = read.one("execute_tool close_contract")
    assert (operation.parent, operation.attributes["coterie.state"]) == (turn.id, "succeeded")
    assert operation.attributes["gen_ai.tool.call.id"]
    assert operation.ended > turn.ended, "it went on in the background"
    attempt = read.one("attempt run")
    assert attempt.parent == operation.id
    assert attempt.attributes["coterie.outcome"] == "returned"
    assert read.path(read.one("inside")) == ["inside", "attempt run", "execute_tool close_contract", turn.name, "request"]
    assert read.one("deliver results").attributes["gen_ai.conversation.id"] == "customer/42"
    everything = json.dumps([each.attributes for each in read], default=str)
    for text in ("close my contract", "K-1 is closed", "It is on its way."):
        assert (text in everything) is content
    assert "0815" not in everything, "secrets of tools are masked"


@per_agent
async def decide(turn: Any) -> None:
    await turn.agent.ask(turn)
    turn.intend("take", amount=1)


@together
def judge(gathering: Any) -> None:
    pass


class Taker:
    def __init__(self, counter: Any) -> None:
        self.counter = counter

    async def ask(self, turn: Any) -> None:
        if turn.round == 2 and turn.name == "x":
            raise RuntimeError("not today")
        await self.counter.ask(Add())


def test_a_simulation_is_one_trace_of_rounds_turns_and_commits(file: Path) -> None:
    with Runtime() as runtime:
        counter = runtime.spawn(Counter, name="counter")
        takers = {name: Taker(counter) for name in "xy"}
        simulation = Simulation(World({"lake": 100}), takers, Graph.chain(decide, judge), seed=7)
        with Tracing(file):
            result = simulation.run(2)
    read = read_file(file)
    whole = read.one("simulation")
    assert whole.attributes["coterie.digest"] == result.digest
    assert len({each.trace for each in read}) == 1
    for number in (1, 2):
        settled = read.one(f"round {number}")
        assert settled.parent == whole.id
        assert settled.attributes["coterie.digest"] == result.digests[number - 1]
        turns = [each for each in read.named("turn decide") if each.parent == settled.id]
        assert sorted(each.attributes["coterie.agent"] for each in turns) == ["x", "y"]
        assert [each.failed for each in sorted(turns, key=lambda each: each.attributes["coterie.agent"])] == [
            number == 2,
            False,
        ]
        assert [each.attributes["coterie.agent"] for each in read.named("turn judge") if each.parent == settled.id] == [
            "together"
        ]
        commits = [each for each in read.named("commit") if each.parent == settled.id]
        assert sum(each.attributes["coterie.intents"] for each in commits) == 3 - number
        handled = [each for each in read.named("handle Add") if read.parent_of(each) in turns]
        assert len(handled) == 3 - number


def test_recalls_jobs_and_entries_of_meetings_are_spans(file: Path) -> None:
    class Member(Agent):
        @on
        async def add(self, message: Add) -> int:
            meeting = await self.context.use(Meetings).call("budget")
            said = await meeting.say({"offer": message.amount})
            await meeting.close("agreed")
            return said

    with Tracing(file, content=True), TieredMemory() as memory, ProcessingEngine() as engine, Runtime() as runtime:
        mind = AgentMemory(memory, "ann")
        mind.remember("the lake is deep")
        runtime.provide(Meetings())
        with spans.span("request"):
            assert engine.submit(mind.recall, "lake").result(10)
            runtime.spawn(Member).ask(Add(10)).result(10)
    read = read_file(file)
    recall = read.one("recall")
    assert recall.attributes == {"coterie.k": 10, "coterie.found": 1, "coterie.question": "lake"}
    assert read.path(recall)[1].startswith("job ")
    assert read.path(recall)[2] == "request"
    spoke = read.one("meeting Spoke")
    assert read.path(spoke) == ["meeting Spoke", "handle Add", "request"]
    assert spoke.attributes["coterie.sequence"] > 1


def test_a_file_is_complete_json_at_any_time(file: Path) -> None:
    with Tracing(file) as tracing:
        assert read_file(file) == []
        for count in range(1, 4):
            with spans.span("one"):
                pass
            tracing.flush()
            assert len(read_file(file)) == count
        with tracing.provider.get_tracer("mine").start_as_current_span("own"), spans.span("within"):
            pass
    read = read_file(file)
    assert read.path(read.one("within")) == ["within", "own"]
    assert file.read_text().count("\n") == 0


def test_every_kind_of_value_is_written_as_the_protocol_has_it(file: Path) -> None:
    values = {
        "f": 0.5,
        "n": float("nan"),
        "i": float("-inf"),
        "b": True,
        "w": -(2**62),
        "t": "\u2028<&>",
        "l": ["a", "b"],
        "e": [],
    }
    with Tracing(file) as tracing, tracing.provider.get_tracer("mine").start_as_current_span("own") as own:
        own.set_attributes(values)
        own.add_event("it rains", {"drops": 3})
        own.record_exception(ValueError("wet"))
    found = read_file(file).one("own").attributes
    assert found == values | {"n": "NaN", "i": "-Infinity"}


def test_a_provider_of_the_program_gets_the_spans_and_stays_open() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Tracing(provider), spans.span("one"):
        pass
    with provider.get_tracer("mine").start_as_current_span("two"):
        pass
    assert [each.name for each in exporter.get_finished_spans()] == ["one", "two"]


def test_one_trace_at_a_time_is_open_and_bad_places_are_refused(file: Path, tmp_path: Path) -> None:
    with Tracing(file):
        with pytest.raises(InvalidSetting, match=r"Tracing\.to.*close the other"):
            Tracing(tmp_path / "other.json")
        assert not (tmp_path / "other.json").exists()
    for bad in (5, None, b"trace.json"):
        with pytest.raises(InvalidSetting, match=r"Tracing\.to"):
            Tracing(bad)
    with pytest.raises(OSError, match="nowhere"):
        Tracing(tmp_path / "nowhere" / "trace.json")
    assert not spans.is_tracing()


def test_without_a_trace_there_are_no_spans_and_opentelemetry_is_not_imported() -> None:
    program = """
import sys
from coterie import Agent, Request, Runtime, on
from coterie.telemetry import Tracing, spans
class Add(Request[int]): ...
class Counter(Agent):
    @on
    def add(self, message: Add) -> int:
        assert spans.begin("one") is spans.NO_SPAN
        return 1
with Runtime() as runtime:
    counter = runtime.spawn(Counter)
    counter.ask(Add()).result()
    cell = counter._endpoint
    assert [each.function.__module__ for each in cell._handlers.values()] == ["__main__"]
assert not [each for each in sys.modules if each.startswith("opentelemetry")]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
