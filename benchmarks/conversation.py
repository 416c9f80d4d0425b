"""Conversations beside running tools: the wait for an interim answer, many sessions at once, the ledger beside bare SQLite."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Spread, compare, in_a_process_of_its_own, quantile, ratio_row, timed
from benchmarks.size import resident
from coterie.conversation import Conversation, Conversations, OperationState, TextWritten, ToolContext, tool
from coterie.conversation.journal import Journal
from coterie.conversation.operations import machine
from coterie.conversation.operations.ledger import SCHEMA, Ledger
from coterie.conversation.operations.operation import Operation
from coterie.kernel import Codec, SystemClock
from coterie.models import ModelReply, ModelRequest, TextDelta, TextMessage, ToolCall
from coterie.storage import SqliteDatabase

ASKED, REPEATED = 50, 5
EVERY = 0.03
"""Seconds between two messages."""
SESSIONS = 1_000
TRANSITIONS = 5_000
GROUP = 250
"""Transitions that the bare connection commits at once, about as many as our writer groups."""


class Rules:
    """A model that takes no time: it calls the tool that is named, and answers all else."""

    name = "rules"

    async def ask(self, request: ModelRequest) -> ModelReply:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) and last.text.startswith("!"):
            return ModelReply(calls=(ToolCall("x", last.text[1:], {}),))
        return ModelReply(text="yes")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        reply = await self.ask(request)
        if reply.text:
            yield TextDelta(reply.text)
        yield reply


def tools(over: threading.Event) -> list[Any]:
    @tool(long_running=True)
    async def waits() -> str:
        while not over.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        return "done"

    @tool(long_running=True)
    def blocks() -> str:
        over.wait()
        return "done"

    @tool(long_running=True)
    async def blocks_its_loop() -> str:
        over.wait()
        return "done"

    @tool(long_running=True)
    def burns() -> str:
        number = 0
        while not over.is_set():
            for _ in range(10_000):
                number += 1
        return str(number)

    return [waits, blocks, blocks_its_loop, burns]


async def first_tokens(name: str) -> float:
    """Return the 95th percentile of the milliseconds from when a message was due to the first piece of its answer."""
    over = threading.Event()
    took = []
    with tempfile.TemporaryDirectory() as folder:
        async with Conversation(Rules(), tools(over), store=Path(folder) / "chats.db") as chat:
            if name:
                await chat.send(f"!{name}").answer()
            start = time.perf_counter()
            for number in range(ASKED):
                # An open loop: a message that waits for the one before it is late, and that counts.
                due = start + number * EVERY
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                stream = chat.send("and now?")
                async for event in stream:
                    if isinstance(event, TextWritten):
                        took.append(time.perf_counter() - due)
                        break
                await stream.end()
            over.set()
            await chat.settle()
    return quantile(took, 0.95) * 1_000


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


async def sessions(count: int) -> dict[str, float]:
    """Begin a long operation in each of many conversations, answer each meanwhile, and let all end."""

    @tool(long_running=True)
    async def long(context: ToolContext) -> str:
        for step in range(20):
            await context.progress(step / 20)
            await asyncio.sleep(0.5)
        return "done"

    with tempfile.TemporaryDirectory() as folder:
        async with Conversations(Rules(), [long], store=Path(folder) / "chats.db") as host:
            await host.open("warm").send("hello").answer()
            gc.collect()
            memory = resident()
            began = time.perf_counter()
            chats = [host.open(("customer", str(number))) for number in range(count)]
            for stream in [chat.send("!long") for chat in chats]:
                await stream.answer()
            for stream in [chat.send("and now?") for chat in chats]:
                await stream.answer()
            gc.collect()
            each = (resident() - memory) / count
            running = host.metrics().running
            for chat in chats:
                await chat.settle()
            took = time.perf_counter() - began
            ended = sum(chat.operations()[0].state is OperationState.SUCCEEDED for chat in chats)
            told = sum(chat.operations()[0].delivered for chat in chats)
            threads = threads_now()
    return {"bytes": each, "ended": ended, "told": told, "seconds": took, "running": running, "threads": threads}


class Bare:
    """The same statements on a connection of one's own, committed in groups."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        step = SCHEMA.steps[0]
        assert isinstance(step, str)
        self.connection.executescript(step)
        body = Codec().encode(Operation(number=1, tool="tool", arguments={"a": 1}))
        self.body = body
        self.epoch = 0
        self.connection.execute(
            "INSERT INTO conversation_operations (namespace, number, epoch, attempt, state, owed, tool, idempotency, body)"
            " VALUES ('a', 1, 0, 0, 'queued', 1, 'tool', '', ?)",
            (body,),
        )

    def transitions(self) -> None:
        swap = (
            "UPDATE conversation_operations SET epoch = ?, attempt = ?, state = ?, owed = ?, seconds = ?, ended_at = ?, body = ?"
            " WHERE namespace = ? AND number = ? AND epoch = ?"
        )
        for _ in range(TRANSITIONS // GROUP):
            self.connection.execute("BEGIN")
            for _ in range(GROUP):
                values = (self.epoch + 1, 0, "queued", 1, None, None, self.body, "a", 1, self.epoch)
                assert self.connection.execute(swap, values).rowcount == 1
                self.epoch += 1
            self.connection.execute("COMMIT")


class Ours:
    def __init__(self, path: Path) -> None:
        self.database = SqliteDatabase(path)
        self.operation = Operation(number=1, tool="tool", arguments={"a": 1})
        journal = Journal(self.database, SystemClock())
        journal.write("a", journal.open("a", 1).epoch, [], [self.operation]).result()
        self.ledger: Ledger = journal.ledger

    def transitions(self) -> None:
        pending = []
        for _ in range(TRANSITIONS):
            self.operation = machine.change(self.operation)
            pending.append(self.ledger.transition("a", self.operation))
        for each in pending:
            each.result()


def ledger() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        bare, ours = Bare(Path(folder) / "bare.db"), Ours(Path(folder) / "ours.db")
        found = compare(
            {
                "ours": lambda: timed(TRANSITIONS, ours.transitions),
                "bare": lambda: timed(TRANSITIONS, bare.transitions),
            },
            rounds=5,
        )
        ours.database.close()
        bare.connection.close()
    what = "transitions of the ledger, compare and swap, each on the disk"
    return ratio_row(what, found, found.ratios("ours", "bare"), 0.5, "0.5 of bare")


def all_rows() -> Iterator[Row]:
    names = {
        "": "nothing runs", "waits": "an async tool runs", "blocks": "a tool blocks its thread",
        "blocks_its_loop": "an async tool blocks its loop", "burns": "a tool burns a core",
    }  # fmt: skip
    for name, what in names.items():
        p95 = Spread.of(asyncio.run(first_tokens(name)) for _ in range(REPEATED))
        target = "p95 under 30 ms" if name else ""
        yield Row(f"first token of an answer while {what}", f"p95 {p95} ms", target, p95.median < 30 if name else None)
    many = in_a_process_of_its_own("benchmarks.conversation", str(SESSIONS))
    yield Row(
        f"{SESSIONS:,} conversations with a 10 s operation each: ended and told",
        f"{many['ended']:.0f} and {many['told']:.0f} in {many['seconds']:.1f} s, {many['threads']:.0f} threads",
        "all",
        many["ended"] == many["told"] == SESSIONS,
    )
    yield Row("… memory each, while all run", f"{many['bytes'] / 1024:.0f} KiB")
    yield ledger()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sessions(int(sys.argv[1])))))
