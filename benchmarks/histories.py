"""Prompts of a conversation of 2,000 turns: kept up to date entry by entry, beside made from the whole log."""

from __future__ import annotations

import statistics
import time

from benchmarks.harness import Row
from coterie.conversation import KeepLast, Summarise, TurnOutcome
from coterie.conversation.entries import ConversationEntry, ToolCallsEntry, ToolResultEntry, TurnEndedEntry, UserMessageEntry
from coterie.conversation.events import Lane
from coterie.conversation.session.prompt import PromptHistory, project
from coterie.models import ToolCall

TURNS = 2_000
ROUNDS = 30


def turn(n: int, length: int) -> list[ConversationEntry]:
    """Return a turn with one call whose result has `length` characters."""
    return [
        UserMessageEntry(turn=n, text=f"question {n}"),
        ToolCallsEntry(turn=n, text="", calls=(ToolCall(f"c{n}", "tool", {"n": n}),)),
        ToolResultEntry(turn=n, call=f"c{n}", tool="tool", content=f"{n} " + "x" * length),
        TurnEndedEntry(turn=n, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="yes", whole="yes"),
    ]


def measure(length: int, window: int) -> Row:
    """Return the median for results of one length."""
    history, log = PromptHistory(8_000), []
    for n in range(TURNS):
        for entry in turn(n, length):
            log.append(entry)
            history.add(len(log), entry)
    history.prompt(Summarise(), window, TURNS - 1)
    incremental, anew, tokens = [], [], 0
    for n in range(TURNS, TURNS + ROUNDS):
        began = time.perf_counter()
        for entry in turn(n, length):
            log.append(entry)
            history.add(len(log), entry)
        tokens = history.prompt(Summarise(), window, n).tokens
        incremental.append(time.perf_counter() - began)
        began = time.perf_counter()
        project(log, turn=n, limit=KeepLast().turns)
        anew.append(time.perf_counter() - began)
    ours, theirs = statistics.median(incremental) * 1e3, statistics.median(anew) * 1e3
    return Row(
        f"a turn of {TURNS:,} and its prompt of {tokens:,} tokens, results of {length:,} characters",
        f"{ours:.2f} ms, worst {max(incremental) * 1e3:.2f} ms (from the whole log {theirs:.2f} ms)",
        "5 ms",
        ours < 5,
    )


def all_rows() -> list[Row]:
    return [measure(20, 200_000), measure(50_000, 32_000), measure(50_000, 200_000)]
