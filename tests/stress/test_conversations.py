"""Many conversations at once to which everything happens: all that was said is answered once, all that was begun ends once."""

import asyncio
import contextlib
import sys
from collections import Counter
from random import Random
from typing import Any

import pytest

from coterie.conversation import (
    Conversation,
    Conversations,
    ConversationSettings,
    Delivered,
    OperationChanged,
    ToolContext,
    TurnBegan,
    TurnEnded,
    tool,
)
from coterie.errors import ConversationError
from coterie.kernel import stream
from coterie.work import Retry
from tests.conversation.scripted import Script, all_events, by_words
from tests.runs import LONG

SETTINGS = ConversationSettings(patience=0.02, grace=0.005, synthesis_wait=0.02, cancel_grace=0.1, kept_events=16)


@tool(long_running=True, resources=["a"], compensate=lambda: None)
async def undoable(context: ToolContext, number: int) -> str:
    for step in range(number % 5):
        await context.progress(step / 5)
        await asyncio.sleep(0.002)
    return f"undoable {number}"


@tool(resources=lambda number: [f"b{number % 3}"], timeout=0.05)
def blocking(context: ToolContext, number: int) -> str:
    for step in range(number % 4):
        context.progress(step / 4)
        asyncio.run(asyncio.sleep(0.002 * number))
    if number % 7 == 0:
        raise OSError("down")
    return f"blocking {number}"


@tool(effect="read", resources=["a"], retry=Retry(2, initial=0.001))
async def reading(context: ToolContext, number: int) -> str:
    if number % 3 > context.attempt:
        raise OSError("not yet")
    return f"reading {number}"


async def user(chat: Conversation, random: Random, messages: int) -> None:
    streams: list[Any] = []
    for number in range(messages):
        what = random.choice(["undoable", "blocking", "reading", "talk", "request", "cancel", "reorder"])
        given = f'{{"number": {random.randrange(10)}}}'
        if what in ("cancel", "reorder"):
            operations = chat.operations(unfinished=True)
            if operations:
                one = random.choice(operations)
                with contextlib.suppress(ConversationError):
                    await (chat.cancel(one) if what == "cancel" else chat.reorder(one, random.randrange(3)))
        elif what == "request":
            streams.append(chat.send(f'!request {{"tool": "undoable", "arguments": {given}}}'))
        else:
            streams.append(chat.send(f"!{what} {given}" if what != "talk" else f"talk {number}", id=f"m{number}"))
        if random.random() < 0.3 and streams:
            await streams.pop().end()
    for each in streams:
        await each.end()
    await chat.settle()


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_whatever_happens_all_is_answered_once_and_ends_once() -> None:
    async def work(seed: int) -> None:
        random = stream(seed)
        async with Conversations(Script(by_words), [undoable, blocking, reading], settings=SETTINGS) as host:
            chats = [host.open(("user", str(number))) for number in range(12)]
            await asyncio.gather(*(user(chat, Random(random.random()), 25) for chat in chats))
            for chat in chats:
                events = await all_events(chat)
                began = Counter(each.turn for each in events if isinstance(each, TurnBegan))
                ended = Counter(each.turn for each in events if isinstance(each, TurnEnded))
                assert began == ended
                assert set(began.values()) <= {1}
                operations = chat.operations()
                assert all(each.ended and each.delivered for each in operations)
                ends = Counter(
                    each.operation.number for each in events if isinstance(each, OperationChanged) and each.operation.ended
                )
                assert ends == Counter(each.number for each in operations)
                told = Counter(one.number for each in events if isinstance(each, Delivered) for one in each.operations)
                assert set(told.values()) <= {1}
                background = {each.number for each in operations if each.background}
                assert set(told) <= background
            metrics = host.metrics()
            assert (metrics.running, metrics.queued) == (0, 0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for seed in range(40 if LONG else 2):
            asyncio.run(asyncio.wait_for(work(seed), 120))
    finally:
        sys.setswitchinterval(before)
