"""Meetings: a broadcast beside a plain one, many at once, and turns beside AutoGen's round-robin group chat."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from benchmarks import peers
from benchmarks.harness import Row, compare, rate, ratio_row
from coterie import Agent, AgentRef, Message, Request, Runtime, on
from coterie.meetings import (
    Accept,
    Decline,
    Invitation,
    MaxTurns,
    Meeting,
    MeetingEnded,
    Meetings,
    RoundRobin,
    Utterance,
    YourTurn,
)

MEMBERS = 100
BROADCASTS = 50
MEETINGS = 1_000
TURNS = 200


class Hello(Message):
    number: int


class Heard(Message):
    number: int


class Do(Request[Any]):
    work: Callable[[Any], Awaitable[Any]]


class Listener(Agent):
    """Replies to each broadcast, whichever way it came."""

    def __init__(self, caller: AgentRef) -> None:
        self.caller = caller

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:  # noqa: ARG002
        return True

    @on
    def hello(self, message: Hello) -> None:
        self.caller.tell(Heard(message.number))

    @on
    def utterance(self, message: Utterance) -> None:
        self.caller.tell(Heard(message.sequence))


class Caller(Agent):
    """Broadcasts, and counts the replies."""

    def __init__(self) -> None:
        self.replies = 0
        self.all = asyncio.Event()
        self.meeting: Meeting | None = None

    @on
    def heard(self, message: Heard) -> None:  # noqa: ARG002
        self.replies += 1
        if self.replies == MEMBERS - 1:
            self.replies = 0
            self.all.set()

    @on(interleave=True)
    async def do(self, message: Do) -> Any:
        return await message.work(self)


async def _plain(caller: Caller) -> None:
    runtime = caller.context.runtime
    for number in range(BROADCASTS):
        caller.all.clear()
        runtime.broadcast(Hello(number))
        await caller.all.wait()


async def _met(caller: Caller) -> None:
    assert caller.meeting is not None
    for number in range(BROADCASTS):
        caller.all.clear()
        await caller.meeting.say(number)
        await caller.all.wait()


def broadcast() -> list[Row]:
    """A hundred members, each of whom replies."""
    with Runtime() as bare, Runtime() as house:
        house.provide(Meetings())
        one = bare.spawn(Caller)
        for _ in range(MEMBERS - 1):
            bare.spawn(Listener, one)
        two = house.spawn(Caller)
        guests = [house.spawn(Listener, two) for _ in range(MEMBERS - 1)]

        async def call(caller: Caller) -> None:
            caller.meeting = await caller.context.use(Meetings).call("broadcast", guests)

        two.ask(Do(call)).result()

        def timed(caller: AgentRef, work: Callable[[Any], Awaitable[Any]]) -> float:
            began = time.perf_counter()
            caller.ask(Do(work), timeout=None).result()
            return BROADCASTS * MEMBERS / (time.perf_counter() - began)

        result = compare({"meeting": lambda: timed(two, _met), "plain broadcast": lambda: timed(one, _plain)}, rounds=7)
    ratio = result.ratios("meeting", "plain broadcast")
    return [ratio_row("a broadcast to 100 members and their replies, in members", result, ratio, 0.5)]


class Speaker(Agent):
    """Says something when it is its turn."""

    def __init__(self) -> None:
        self.ended: asyncio.Event | None = None

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:  # noqa: ARG002
        return True

    @on
    async def speak(self, message: YourTurn) -> None:
        await self.context.use(Meetings).meeting(message.meeting).say("my turn")

    @on
    def over(self, message: MeetingEnded) -> None:  # noqa: ARG002
        if self.ended is not None:
            self.ended.set()

    @on(interleave=True)
    async def do(self, message: Do) -> Any:
        return await message.work(self)


async def _hold(speaker: Speaker, guests: list[AgentRef], turns: int) -> None:
    speaker.ended = asyncio.Event()
    await speaker.context.use(Meetings).call("turns", guests, floor=RoundRobin(), ending=MaxTurns(turns))
    await speaker.ended.wait()


def many() -> list[Row]:
    """A thousand meetings of five at once."""
    process = psutil.Process(os.getpid())
    with Runtime() as runtime:
        runtime.provide(Meetings(timeout=300.0, patience=300.0))
        groups = [[runtime.spawn(Speaker) for _ in range(5)] for _ in range(MEETINGS)]
        began, before = time.perf_counter(), process.memory_info().rss
        peak = before

        def work(group: list[AgentRef]) -> Do:
            return Do(lambda speaker: _hold(speaker, group[1:], 10))

        replies = [group[0].ask(work(group), timeout=None) for group in groups]
        while not all(reply.done for reply in replies):
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.02)
        for reply in replies:
            reply.result()
        seconds = time.perf_counter() - began
    each = (peak - before) / MEETINGS / 1024
    figure = f"{seconds:.2f} s, {rate(10 * MEETINGS / seconds)} turns, {each:.1f} KiB a meeting at the peak"
    return [Row("1,000 meetings of five at once, ten turns each", figure, "all end", met=True)]


def turns() -> list[Row]:
    """Turns a second, three members in a round, beside AutoGen's group chat with scripted members."""
    contestants: dict[str, Callable[[], float]] = {}
    with Runtime() as runtime:
        runtime.provide(Meetings())
        group = [runtime.spawn(Speaker) for _ in range(3)]

        def ours() -> float:
            began = time.perf_counter()
            group[0].ask(Do(lambda speaker: _hold(speaker, group[1:], TURNS)), timeout=None).result()
            return TURNS / (time.perf_counter() - began)

        contestants["ours"] = ours
        if peers.group_chat is not None:
            contestants["AutoGen"] = lambda: _on_a_loop(peers.group_chat, TURNS)
        result = compare(contestants, rounds=5)
    if peers.group_chat is None:
        return [Row("turns of a round robin of three", f"{result}; AutoGen's AgentChat is not installed")]
    return [ratio_row("turns of a round robin of three", result, result.ratios("ours", "AutoGen"), 2)]


def _on_a_loop(work: Any, count: int) -> float:
    rates: list[float] = []

    def run() -> None:
        began = time.perf_counter()
        asyncio.run(work(count))
        rates.append(count / (time.perf_counter() - began))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return rates[0]


def all_rows() -> list[Row]:
    return broadcast() + many() + turns()
