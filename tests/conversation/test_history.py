"""Histories of any length: prompts fit the window, what does not fit is summarised, and long results are read in parts."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.conversation import (
    Conversation,
    Conversations,
    ConversationSettings,
    HistoryPlan,
    HistoryUnit,
    KeepLast,
    Summarise,
    TurnOutcome,
    tool,
)
from coterie.conversation.entries import (
    ConversationEntry,
    SummaryEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.conversation.events import Lane
from coterie.conversation.journal import Journal, LogRecord, key_of
from coterie.conversation.session.prompt import SUMMARY, PromptHistory, project, shorten
from coterie.conversation.tokens import TokenMeter, tokens_in, tokens_of
from coterie.errors import InvalidSetting, ModelError
from coterie.kernel import SystemClock
from coterie.models import ModelGateway, ModelReply, ModelRequest, TextMessage, ToolCall, ToolResult, Usage
from coterie.storage import open_database

from .scripted import Gate, Script, assert_paired, by_words, calls, run
from .test_prompt import histories

LONG = 40_000
WINDOW = 8_000


@tool(effect="read")
def read_page(n: int) -> str:
    """Return a long page."""
    return f"page {n} " + "x" * LONG + f" the end of {n}"


def reader(request: ModelRequest) -> ModelReply | str:
    """Summarise; read a page for ``page N``; else answer."""
    if request.step.startswith("summary"):
        return "they read pages: " + request.exchanges[-1].text[:40]  # type: ignore[union-attr]
    last = request.exchanges[-1]
    if isinstance(last, TextMessage) and last.text.startswith("page"):
        return calls(("read_page", {"n": int(last.text.split()[1])}))
    return "fine"


def is_fitting(request: ModelRequest, window: int = WINDOW) -> bool:
    tools = sum(len(str(each)) for each in request.tools) // 3
    return tokens_of(request.exchanges) + tokens_in(request.instructions) + tools <= window


def answers(model: Script) -> list[ModelRequest]:
    return [each for each in model.requests if each.step.startswith("turn")]


def summaries(model: Script) -> list[ModelRequest]:
    return [each for each in model.requests if each.step.startswith("summary")]


def test_a_long_conversation_goes_on_within_the_window_and_over_a_restart(tmp_path: Path) -> None:
    model = Script(reader)
    options = ConversationSettings(window=WINDOW, patience=30)

    async def talk(first: int, last: int) -> None:
        async with Conversation(model, [read_page], store=tmp_path / "chats.db", settings=options) as chat:
            for n in range(first, last):
                ended = await chat.send(f"page {n}" if n % 3 == 0 else f"hello {n}").end()
                assert (ended.outcome, ended.text) == (TurnOutcome.ANSWERED, "fine")
            await chat.settle()

    run(lambda: talk(0, 40))
    run(lambda: talk(40, 60))
    assert all(is_fitting(each) for each in answers(model))
    assert summaries(model)
    assert "hello 1" in summaries(model)[0].exchanges[0].text  # type: ignore[union-attr]
    # The next summary builds on the one before, and each prompt begins with the latest.
    assert "Summary of what was before" in summaries(model)[1].exchanges[0].text  # type: ignore[union-attr]
    begins = answers(model)[-1].exchanges[0]
    assert isinstance(begins, TextMessage)
    assert begins.text.startswith(f"{SUMMARY}\nthey read pages: Summary")
    assert answers(model)[-1].exchanges[-1] == TextMessage("user", "hello 59")


def test_a_shortened_result_is_read_in_parts() -> None:
    def curious(request: ModelRequest) -> ModelReply | str:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage):
            return calls(("read_page", {"n": 7}))
        assert isinstance(last, ToolResult)
        if last.name == "read_page":
            assert any(each.name == "read_result" for each in request.tools)
            name = last.content.partition('result "')[2].partition('"')[0]
            return calls(
                ("read_result", {"result": name, "start": LONG - 100, "length": 200}), ("read_result", {"result": "call-9"})
            )
        found = [each for each in request.exchanges if isinstance(each, ToolResult)]
        assert "there is no result" in found[-1].content
        return found[-2].content

    async def work() -> None:
        async with Conversation(Script(curious), [read_page], settings=ConversationSettings(window=4_000, patience=30)) as chat:
            answer = await chat.send("read it").answer()
            assert " the end of 7" in answer
            assert f"of {LONG + 20}]" in answer

    run(work)


def test_shortening_keeps_the_beginning_and_the_end() -> None:
    text, cut = shorten("a" * 500 + "b" * 500, "op-1", 100)
    assert cut
    assert text.startswith("a" * 80 + "\n[shortened: the result has 1000 characters, and 80 to 980 are left out here")
    assert text.endswith("\n" + "b" * 20)
    assert shorten("short", "op-1", 100) == ("short", False)


@pytest.mark.parametrize("failure", [ModelError("out of order"), "", RuntimeError("a bug")])
def test_a_summary_that_fails_costs_nothing_but_its_place(failure: Any) -> None:
    async def work() -> None:
        model = Script(lambda request: failure if request.step.startswith("summary") else reader(request))
        async with Conversation(model, [read_page], settings=ConversationSettings(window=4_000, patience=30)) as chat:
            for n in range(24):
                assert (await chat.send(f"page {n}" if n % 2 else "hello").end()).text == "fine"
            await chat.settle()
            # It is tried again, but less and less often.
            assert 1 < len(summaries(model)) < 8
            assert len(chat.transcript()) == 48
        assert all(is_fitting(each, 4_000) for each in answers(model))

    run(work)


def test_a_summary_is_written_while_the_conversation_goes_on() -> None:
    async def work() -> None:
        model = Script(reader)
        reached, go_on = model.hold("summary")
        async with Conversation(model, [read_page], settings=ConversationSettings(window=4_000, patience=30)) as chat:
            n = 0
            while not reached.done:
                assert await chat.send(f"page {n}").answer() == "fine"
                n += 1
                assert n < 100
            assert await chat.send("hello").answer() == "fine"
            assert not any(SUMMARY in getattr(each.exchanges[0], "text", "") for each in answers(model))
            go_on.set()
            while SUMMARY not in getattr(answers(model)[-1].exchanges[0], "text", ""):
                assert await chat.send("hello").answer() == "fine"

    run(work)


def test_a_turn_whose_operation_has_not_ended_stays_whole() -> None:
    async def work() -> None:
        gate = Gate()

        @tool(resources=["parcel"], long_running=True)
        async def send_parcel(to: str) -> str:
            await gate
            return f"sent to {to}"

        def answer(request: ModelRequest) -> ModelReply | str:
            last = request.exchanges[-1]
            if isinstance(last, TextMessage) and last.text == "send it":
                return calls(("send_parcel", {"to": "Oslo"}))
            return reader(request) if "page" in str(last) or request.step.startswith("summary") else "fine"

        model = Script(answer)
        settings = ConversationSettings(window=4_000, patience=30)
        async with Conversation(model, [send_parcel, read_page], settings=settings) as chat:
            await chat.send("send it").answer()
            for n in range(12):
                await chat.send(f"page {n}").answer()
            assert summaries(model)
            prompt = answers(model)[-1].exchanges
            assert TextMessage("user", "send it") in prompt
            gate.set()
            await chat.settle()

    run(work)


def test_the_count_of_the_provider_corrects_the_estimate() -> None:
    async def work() -> None:
        def dense(request: ModelRequest) -> ModelReply:
            return ModelReply(text="fine", usage=Usage(input_tokens=3 * tokens_of(request.exchanges) + 3000))

        model = Script(dense)
        async with Conversation(model, settings=ConversationSettings(window=WINDOW, history=KeepLast(100))) as chat:
            for _ in range(20):
                await chat.send("word " * 200).answer()
        assert 3 * tokens_of(model.requests[-1].exchanges) < WINDOW

    run(work)
    meter = TokenMeter()
    meter.learn(100, ModelReply(usage=Usage(input_tokens=150)))
    assert meter.factor == pytest.approx(1.5)
    meter.learn(100, ModelReply(usage=Usage(input_tokens=50)))
    assert meter.factor == pytest.approx(1.35)
    meter.learn(100, ModelReply())
    assert meter.factor == pytest.approx(1.35)


def test_policies_are_values_and_ones_own_counts() -> None:
    class Odd:
        def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:
            assert budget > 0
            return HistoryPlan(first=len(units) - 2)

    class Broken:
        def plan(self, units: Sequence[HistoryUnit], budget: int) -> HistoryPlan:
            raise RuntimeError("a bug")

    async def work(history: Any, shown: int) -> None:
        model = Script(by_words)
        async with Conversation(model, settings=ConversationSettings(history=history)) as chat:
            for n in range(6):
                assert await chat.send(f"m{n}").answer() == f"you said m{n}"
        assert sum(isinstance(each, TextMessage) and each.role == "user" for each in model.requests[-1].exchanges) == shown

    for history, shown in (
        (Odd(), 2),
        (KeepLast(3), 3),
        (3, 3),
        ({"policy": "keep_last", "turns": 4}, 4),
        (Summarise(), 6),
        (Broken(), 6),
    ):
        run(lambda history=history, shown=shown: work(history, shown))  # type: ignore[misc]


@pytest.mark.parametrize("given", [0, True, "all", KeepLast, {"policy": "odd"}, {"policy": "keep_last", "x": 1}, None])
def test_an_invalid_policy_is_refused(given: Any) -> None:
    with pytest.raises(InvalidSetting, match="history"):
        ConversationSettings(history=given)
    with pytest.raises(InvalidSetting):
        Summarise(at=0.5, to=0.6)
    with pytest.raises(InvalidSetting):
        ConversationSettings(window=10)


@settings(max_examples=40)
@given(histories(), st.integers(0, 12), st.integers(1, 400))
def test_every_trimmed_prompt_is_paired_and_fits(
    history: tuple[list[ConversationEntry], int], summarised: int, budget: int
) -> None:
    log, turn = history
    kept = PromptHistory(60)
    for sequence, entry in enumerate(log, 1):
        kept.add(sequence, entry)
        if sequence == summarised:
            kept.add(sequence, SummaryEntry(text="so far", first=1, until=sequence, beyond=(turn,)))
    for policy in (KeepLast(3), Summarise(), KeepLast(100)):
        for current in (None, turn):
            prompt = kept.prompt(policy, budget, current)
            assert_paired(prompt.messages)
            assert prompt.tokens == tokens_of(prompt.messages)
            # One unit is shown however long it is.
            assert prompt.tokens <= budget or len(prompt.messages) == len(kept.prompt(policy, 1, current).messages)
    assert kept.prompt(KeepLast(40), 1 << 40, turn).messages[-1:] == project(log, turn=turn)[-1:] or summarised


def test_entry_by_entry_is_the_same_as_at_once() -> None:
    log: list[ConversationEntry] = []
    history = PromptHistory()
    for n in range(1, 60):
        call = ToolCall(f"c{n}", "tool", {"n": n})
        for entry in (
            UserMessageEntry(turn=n, text=f"question {n}"),
            ToolCallsEntry(turn=n, text="", calls=(call,)),
            ToolResultEntry(turn=n, call=f"c{n}", tool="tool", content="result"),
            TurnEndedEntry(turn=n, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="yes", whole="yes"),
        ):
            log.append(entry)
            history.add(len(log) - 1, entry)
            assert history.prompt(KeepLast(5), 1 << 40, n).messages == project(log, turn=n, limit=5)


def test_the_prompt_of_a_log_of_two_thousand_turns_is_made_from_what_has_changed() -> None:
    history = PromptHistory(8_000)
    result = "x" * LONG

    def turn(n: int) -> None:
        entries: tuple[ConversationEntry, ...] = (
            UserMessageEntry(turn=n, text=f"question {n}"),
            ToolCallsEntry(turn=n, text="", calls=(ToolCall(f"c{n}", "tool", {"n": n}),)),
            ToolResultEntry(turn=n, call=f"c{n}", tool="tool", content=result),
            TurnEndedEntry(turn=n, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="yes", whole="yes"),
        )
        for place, entry in enumerate(entries):
            history.add(4 * n + place, entry)

    for n in range(2_000):
        turn(n)
    history.prompt(Summarise(), 200_000, 1_999)
    taken = []
    for n in range(2_000, 2_020):
        turn(n)
        began = time.perf_counter()
        prompt = history.prompt(Summarise(), 200_000, n)
        taken.append(time.perf_counter() - began)
    assert prompt.tokens <= 200_000
    # Made anew from the start it takes many times as long; benchmarks/histories.py has the figures.
    assert min(taken) < 0.02


def test_a_stored_conversation_of_two_thousand_turns_goes_on_answering(tmp_path: Path) -> None:
    result = "y" * 50_000
    model = Script(reader)
    options = ConversationSettings(window=WINDOW, patience=30)

    async def work() -> None:
        async with Conversations(model, [read_page], store=database, settings=options) as host:
            chat = host.open("long")
            assert await chat.send("hello").answer() == "fine"
            assert await chat.send("page 7").answer() == "fine"
            await chat.settle()
            assert [each.text for each in chat.page(limit=4).messages] == ["hello", "fine", "page 7", "fine"]
            assert "question 1999" in (chat.page(before=chat.page(limit=4).before, limit=2).messages)[0].text
            assert await chat.send("goodbye").answer() == "fine"

    with open_database(tmp_path / "chats.db") as database:
        journal, key = Journal(database, SystemClock()), key_of(("long",))
        epoch = journal.open(key, 1).epoch
        for n in range(1, 2_001):
            entries: tuple[ConversationEntry, ...] = (
                UserMessageEntry(turn=n, text=f"question {n - 1}"),
                ToolCallsEntry(turn=n, text="", calls=(ToolCall(f"c{n}", "read_page", {"n": n}),)),
                ToolResultEntry(turn=n, call=f"c{n}", tool="read_page", content=result),
                TurnEndedEntry(turn=n, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="yes", whole="yes"),
            )
            records = [LogRecord(4 * n + place - 3, 0.0, entry) for place, entry in enumerate(entries)]
            written = journal.write(key, epoch, records, durable=False)
        written.result()
        run(work)
    assert all(is_fitting(each) for each in answers(model))
    # The oldest turn that is known is in the prompt for its place: the latest turns, whole.
    assert any(getattr(each, "text", "") == "question 1999" for each in answers(model)[0].exchanges)


def test_the_window_of_a_model_string_comes_from_its_profile() -> None:
    with ModelGateway("openai:gpt-4o", base_url="http://127.0.0.1:9/v1") as gateway:
        assert gateway.context_window == 128_000
    with ModelGateway(Script(by_words)) as other:
        assert other.context_window is None
