"""A long run over several rooms at once leaves nothing behind: memory, threads and descriptors at rest stay as they were.

`make stress` runs it for ten minutes; `make stress SOAK=60` for one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from coterie import Agent, Message, Request, Runtime, on
from coterie.conversation import Conversation, ToolContext, tool
from coterie.errors import CoterieError
from coterie.kernel.clock import Countdown
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory
from coterie.models import ModelReply, TextDelta, TextMessage, ToolCall
from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Gathering
from coterie.runtime import Supervision
from coterie.work import ProcessingEngine, Retry
from coterie.world import EventLog, World
from tests.runs import LONG, SOAK

_WARM_UP = 1 / 3
"""The part of the run in which caches and records fill up to their bounds."""

_LONG = 300
"""Seconds after which caches and records are full."""


class Add(Request[int]):
    amount: int


class Break(Message):
    pass


class Counter(Agent):
    def __init__(self, load: bytes) -> None:
        self.total, self.load = 0, load

    def on_start(self) -> None:
        self.context.every(0.05, Break())
        self.context.subscribe("soak")

    @on
    async def add(self, message: Add) -> int:
        await asyncio.sleep(0)
        self.total += message.amount
        return self.total

    @on
    def broken(self, message: Break) -> None:
        here = bytes(100_000)
        raise ValueError(len(here))


def messages(runtime: Runtime, cycle: int) -> None:
    """Agents that answer, fail, restart, fail for good and are stopped; and a runtime of its own."""
    counters = [runtime.spawn(Counter, bytes(1_000), supervision=Supervision(max_restarts=1, backoff=0.001)) for _ in range(10)]
    replies = [each.ask(Add(amount=cycle), timeout=5) for each in counters]
    runtime.publish("soak", Break())
    for reply in replies:
        with suppress(CoterieError, TimeoutError):
            reply.result(10)
    for each in counters:
        each.stop(drain=False)
        each.tell(Break())
    with Runtime() as own:
        assert own.spawn(Counter, b"").ask(Add(amount=1)).result(10) == 1


def fail() -> None:
    raise OSError("down")


def jobs(engine: ProcessingEngine, cycle: int) -> None:
    """Jobs that succeed with large results, fail after retries, are cancelled, and run in a process."""
    made: list[Any] = [engine.submit(bytes, 50_000) for _ in range(20)]
    made += [engine.submit(fail, retry=Retry(2, initial=0.001)) for _ in range(20)]
    made += [engine.submit(time.sleep, 0.01, timeout=1) for _ in range(3)]
    made.append(engine.submit(abs, -cycle, cpu_bound=True))
    made[-2].cancel()
    for job in made:
        with suppress(OSError, CoterieError):
            job.result(20)


def memories(memory: TieredMemory, cycle: int) -> None:
    """Memories that are replaced, expire, are remembered by agents and consolidated."""
    for number in range(50):
        memory.store(
            f"key-{(cycle * 50 + number) % 200}", {"text": "word " * 50}, importance=number / 50, ttl=2 if number % 2 else None
        )
    mind = AgentMemory(memory, agent=f"agent-{cycle % 5}", max_episodes=20)
    for number in range(10):
        mind.remember({"content": f"Bob lent me {number} coins", "type": "observation"}, importance=0.5)
    mind.recall("who lent me coins?", k=5)
    mind.consolidate()
    memory.maintain()
    memory.flush()


def act(turn: Turn) -> None:
    if turn.name == "a1" and turn.round == 2:
        raise ValueError("a forfeit")
    turn.intend("add", key=turn.name, amount=1)


def judge(gathering: Gathering) -> int:
    return len(gathering.agents)


def rounds(folder: Path, cycle: int) -> None:
    """A simulation on a log, resumed, and one in memory."""
    mode = list(Mode)[cycle % len(Mode)]
    names = [f"a{number}" for number in range(8)]

    def simulation(world: World) -> Simulation:
        return Simulation(world, names, Graph.chain(act, together(judge)), mode=mode)

    with tempfile.TemporaryDirectory(dir=folder) as place:
        for last in (2, 4):
            with World(log=EventLog(Path(place) / "run.db", durable=False)) as world:
                simulation(world).resume(last)
    assert simulation(World()).run(3).rounds == 3


@tool(effect="write", resources=["contract"], long_running=True)
async def close_contract(context: ToolContext, number: str) -> str:
    """Close a contract."""
    await context.progress(0.5)
    return f"Contract {number} is closed." + "x" * 10_000


class Rules:
    name = "rules"

    async def ask(self, request: Any) -> ModelReply:
        """Answer as the stream does."""
        return [piece async for piece in self.stream(request)][-1]  # type: ignore[return-value] # the last is the reply

    async def stream(self, request: Any) -> AsyncIterator[TextDelta | ModelReply]:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) and "close" in last.text:
            yield ModelReply(calls=(ToolCall("1", "close_contract", {"number": "42"}),))
        else:
            yield TextDelta("Yes.")
            yield ModelReply(text="Yes.")


def conversations(folder: Path, cycle: int) -> None:
    """A conversation that runs a tool, is closed, and opened again in a later cycle."""

    async def talk() -> None:
        store = folder / f"chats-{cycle % 3}.db"
        async with Conversation(Rules(), tools=[close_contract], store=str(store), namespace=("user", str(cycle))) as chat:
            assert await chat.send("close my contract").answer() == "Yes."
            assert await chat.send("hello").answer() == "Yes."

    asyncio.run(talk())


class AtRest(msgspec.Struct):
    """The measures of a process that has nothing to do."""

    memory: float
    """Resident megabytes."""
    objects: int
    threads: int
    descriptors: int


def at_rest(process: psutil.Process) -> AtRest:
    """Measure, once threads and descriptors have stopped going away."""
    before = None
    for _ in range(20):
        gc.collect()
        now = (process.num_threads(), process.num_fds())
        if before is not None and now >= before:
            break
        before = now
        time.sleep(0.05)
    return AtRest(process.memory_info().rss / 2**20, len(gc.get_objects()), process.num_threads(), process.num_fds())


@contextmanager
def parts(folder: Path) -> Iterator[dict[str, Callable[[int], None]]]:
    """Open what lives as long as the run, and yield what is done in each cycle."""
    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime())
        engine = stack.enter_context(ProcessingEngine())
        config = MemoryConfig(path=str(folder / "memory.db"), cache_size=100)
        memory = stack.enter_context(TieredMemory(config))
        yield {
            "runtime": lambda cycle: messages(runtime, cycle),
            "work": lambda cycle: jobs(engine, cycle),
            "memory": lambda cycle: memories(memory, cycle),
            "rounds": lambda cycle: rounds(folder, cycle),
            "conversation": lambda cycle: conversations(folder, cycle),
        }


def grown(measures: list[AtRest], name: str) -> tuple[float, float]:
    """Return the median of a measure in the first half after the warm-up, and in the second."""
    kept = [float(getattr(each, name)) for each in measures[int(len(measures) * _WARM_UP) :]]
    half = len(kept) // 2
    return statistics.median(kept[:half]), statistics.median(kept[half:])


@pytest.mark.stress
@pytest.mark.skipif(not LONG, reason="a soak takes minutes; `make stress` runs it")
@pytest.mark.timeout(SOAK + 300)
def test_a_long_run_leaves_nothing_behind(tmp_path: Path) -> None:
    logging.disable(logging.CRITICAL)
    process = psutil.Process()
    measures: list[AtRest] = []
    try:
        with parts(tmp_path) as work:
            left = Countdown(SOAK)
            while not left.over or len(measures) < 6:
                for do in work.values():
                    do(len(measures))
                measures.append(at_rest(process))
    finally:
        logging.disable(logging.NOTSET)
    told = {name: grown(measures, name) for name in AtRest.__struct_fields__}
    print(f"\n{len(measures)} cycles in {SOAK:g} s; at rest, in the first and second half after the warm-up: {told}")  # noqa: T201
    for name, (before, after) in told.items():
        if name in ("threads", "descriptors"):
            assert after <= before + 4, (name, told)
        else:
            # A short run is still filling its records and the pools of its allocator.
            part = 1.08 if SOAK >= _LONG else 1.3
            assert after <= part * before + (10 if name == "memory" else 2_000), (name, told)
