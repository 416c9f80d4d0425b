"""Recovery after a crash: ended operations do not run again, and unknown outcomes are resolved."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import (
    CancelAnswer,
    Conversation,
    Conversations,
    ConversationSettings,
    Delivered,
    Finding,
    OperationState,
    ToolContext,
    TurnEnded,
    tool,
)
from coterie.conversation.session.speaker import Speaker
from coterie.errors.conversation import ConversationFailed, TransitionRefused
from coterie.models import ModelReply, ModelRequest

from .scripted import Gate, Script, all_events, by_words, kill, next_delivery, operation, run, state_of

SETTINGS = ConversationSettings(patience=5, grace=0.02, cancel_grace=0.2)
S = OperationState


class Life:
    """One process: tools that count how often they ran, and wait."""

    def __init__(self, **options: Any) -> None:
        self.gate, self.began = Gate(), Gate()
        self.runs = 0

        @tool(resources=["a"], **({"long_running": True} | options))
        async def work(context: ToolContext) -> str:
            self.runs += 1
            await context.checkpoint({"run": context.restored})
            self.began.set()
            await self.gate
            return "worked"

        self.work = work
        self.script = Script(by_words)

    def chat(self, path: Path) -> Conversation:
        return Conversation(self.script, [self.work], store=path / "x.db", settings=SETTINGS)


async def killed(path: Path, *messages: str, **options: Any) -> Life:
    """Leave a conversation in the middle of its first operation."""
    life = Life(**options)
    async with life.chat(path) as chat:
        for message in messages or ("!work",):
            await chat.send(message).answer()
        await life.began
        await kill(chat)
    return life


def test_without_a_check_the_outcome_is_unknown_and_the_user_is_asked(tmp_path: Path) -> None:
    async def work() -> None:
        await killed(tmp_path)
        life = Life()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.UNKNOWN
            told = [each for each in await all_events(chat) if isinstance(each, Delivered)]
            assert "do not know whether it took effect" in told[0].text
            # Nothing waits for ever for it, and nothing is done beside it.
            assert "unknown whether it took effect" in await chat.send("!work").answer()
        async with Life().chat(tmp_path) as chat:
            await chat.settle()
            assert len([each for each in await all_events(chat) if isinstance(each, Delivered)]) == 1
        assert life.runs == 0

    run(work)


@pytest.mark.parametrize(("word", "state"), [("succeeded", S.SUCCEEDED), ("failed", S.FAILED), ("retry", S.SUCCEEDED)])
@pytest.mark.parametrize("door", ["model", "front end"])
def test_the_user_resolves_an_unknown_outcome(tmp_path: Path, word: str, state: OperationState, door: str) -> None:
    async def work() -> None:
        await killed(tmp_path)
        life = Life()
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            if door == "model":
                await chat.send(f'!resolve {{"operation": "op-1", "outcome": "{word}"}}').answer()
            else:
                await chat.resolve("op-1", "queued" if word == "retry" else word, "the user says so")
            await chat.settle()
            assert state_of(chat, 1) is state
            assert life.runs == (word == "retry")
            with pytest.raises(TransitionRefused):
                await chat.resolve("op-1", "failed")
            assert await chat.send("!work").answer()

    run(work)


@pytest.mark.parametrize(
    ("finding", "state", "runs"),
    [
        (Finding.done("it was done"), S.SUCCEEDED, 0),
        (Finding.not_done("the line was down"), S.FAILED, 0),
        (Finding.resume(), S.SUCCEEDED, 1),
        (Finding.unknown(), S.UNKNOWN, 0),
        (None, S.UNKNOWN, 0),
        (RuntimeError("the other side is down"), S.UNKNOWN, 0),
    ],
)
def test_a_check_resolves_an_unknown_outcome(tmp_path: Path, finding: Any, state: OperationState, runs: int) -> None:
    def check(context: ToolContext) -> Any:
        assert context.restored == {"run": None}
        if isinstance(finding, Exception):
            raise finding
        return finding

    async def work() -> None:
        await killed(tmp_path, check=check)
        life = Life(check=check)
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert (state_of(chat, 1), life.runs) == (state, runs)
            told = [each for each in await all_events(chat) if isinstance(each, Delivered)]
            assert len(told) == 1
            if isinstance(finding, Finding) and isinstance(finding.value, str):
                assert finding.value in told[0].text

    run(work)


def test_queued_operations_run_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        await killed(tmp_path, "!work\n!work")
        life = Life(check=lambda: Finding.done("first"))
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert [each.state for each in chat.operations()] == [S.SUCCEEDED, S.SUCCEEDED]
            assert life.runs == 1

    run(work)


def test_a_turn_that_was_interrupted_is_answered_once_from_where_it_was(tmp_path: Path) -> None:
    async def work() -> None:
        first = Life(long_running=False, patience=60)
        async with first.chat(tmp_path) as chat:
            chat.send("!work", id="m1")
            await first.began
            chat.send("and another thing", id="m2")
            while len(chat.transcript()) < 2:
                await chat.send("and another thing", id="m2").__anext__()
            await kill(chat)
        life = Life(long_running=False, check=lambda: Finding.done("it was done"))
        async with life.chat(tmp_path) as chat:
            # The front end asks again, because it never heard.
            answers = [await chat.send(text, id=id_).answer() for text, id_ in (("!work", "m1"), ("and another thing", "m2"))]
            await chat.settle()
            assert answers[1] == "you said and another thing"
            ends = [each for each in await all_events(chat) if isinstance(each, TurnEnded)]
            assert [each.turn for each in ends] == [1, 2]
            assert (state_of(chat, 1), life.runs) == (S.SUCCEEDED, 0)
            assert "it was done" in "".join(each.text for each in chat.transcript())

    run(work)


def test_a_cancel_that_was_interrupted_is_undone_after_the_restart(tmp_path: Path) -> None:
    undone: list[int] = []
    options: dict[str, Any] = {"check": lambda: Finding.done("it was done"), "compensate": lambda: undone.append(1)}

    def never() -> None:
        Gate().wait(0.5)

    async def work() -> None:
        first = Life(check=options["check"], compensate=never)
        async with first.chat(tmp_path) as chat:
            await chat.send("!work").answer()
            await first.began
            assert await chat.cancel(1) is CancelAnswer.COMPENSATING
        async with Life(**options).chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.COMPENSATED
            assert undone == [1]

    run(work)


def test_a_removed_tool_does_not_block_the_conversation(tmp_path: Path) -> None:
    async def work() -> None:
        await killed(tmp_path, "!work\n!work")
        async with Conversation(Script(by_words), store=tmp_path / "x.db") as chat:
            await chat.resolve(1, "failed")
            await chat.settle()
            assert "no tool work any more" in operation(chat, 2).content
            assert await chat.send("hello").answer() == "you said hello"

    run(work)


def test_a_conversation_continues_after_its_agent_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True])
    speak = Speaker.speak

    async def broken(self: Speaker, request: ModelRequest, **more: Any) -> ModelReply:
        if next(failures, False):
            raise SystemExit(3)
        return await speak(self, request, **more)

    monkeypatch.setattr(Speaker, "speak", broken)

    async def work() -> None:
        async with Conversation(Script(by_words), store=tmp_path / "x.db") as chat:
            assert await chat.send("hello").answer() == "you said hello"
            last = chat.last_event
            assert await chat.send("again").answer() == "you said again"
            assert chat.last_event > last

    run(work)


def test_a_result_is_delivered_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        life = Life()
        async with life.chat(tmp_path) as chat:
            await chat.send("!work").answer()
            last = chat.last_event
            await kill(chat)
        async with Life(check=lambda: Finding.done("it was done")).chat(tmp_path) as chat:
            assert (await next_delivery(chat, last)).text == "it was done"

    run(work)


def test_a_failed_conversation_raises_its_error_for_all_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fatal(_self: Speaker, _request: ModelRequest, **_more: Any) -> ModelReply:
        raise SystemExit(3)

    async def work() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Speaker, "speak", fatal)
            await fail()
        async with Conversations(Script(by_words), store=tmp_path / "x.db") as host:
            await host.open("a").settle()
            assert [each.text for each in host.open("a").transcript()] == ["hello", "you said hello"]

    async def fail() -> None:
        async with Conversations(Script(by_words), store=tmp_path / "x.db") as host:
            chat = host.open("a")
            reading = chat.events(0)
            with pytest.raises(ConversationFailed, match="failed permanently"):
                await chat.send("hello").answer()

            async def read() -> None:
                while True:
                    await anext(reading)

            with pytest.raises(ConversationFailed):
                await read()

    run(work)


def test_an_outcome_resolved_during_its_delivery_is_delivered_once_as_resolved(tmp_path: Path) -> None:
    life = Life()

    async def work() -> None:
        await killed(tmp_path, "!work", "hello")
        reached, go = life.script.hold("delivery")
        async with life.chat(tmp_path) as chat:
            await reached
            settled = await asyncio.gather(*(chat.resolve(1, "succeeded", "it was") for _ in range(3)), return_exceptions=True)
            assert sorted(type(each).__name__ for each in settled) == ["Operation", "TransitionRefused", "TransitionRefused"]
            go.set()
            await chat.settle()
            assert await chat.send("again").answer() == "you said again"
            assert [each.state for each in chat.operations()] == ["succeeded"]

    run(work)


def test_operations_queued_behind_an_unknown_outcome_wait_for_the_user(tmp_path: Path) -> None:
    async def work() -> None:
        await killed(tmp_path, "!work", '!request {"tool": "work", "arguments": {}}')
        life = Life()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert (state_of(chat, 1), state_of(chat, 2)) == (S.UNKNOWN, S.QUEUED)
            await chat.resolve(1, S.SUCCEEDED, "it was done")
            await life.began
            life.gate.set()
            await chat.settle()
            assert (state_of(chat, 1), state_of(chat, 2)) == (S.SUCCEEDED, S.SUCCEEDED)
        assert life.runs == 1

    run(work)


def test_a_read_that_the_end_of_the_process_interrupted_runs_again_without_a_question(tmp_path: Path) -> None:
    async def work() -> None:
        first = Life(effect="read")
        # Closing says what became of it; a second process that takes over while it runs is as after a kill.
        before = first.chat(tmp_path)
        await before.send("!work").answer()
        await first.began
        second = Life(effect="read")
        second.gate.set()
        async with second.chat(tmp_path) as chat:
            await chat.ready()
            await chat.settle()
            assert [each.state for each in chat.operations()] == [S.SUCCEEDED]
            assert second.runs == 1
        await before.aclose()

    run(work)


@pytest.mark.parametrize("options", [{"idempotent": True}, {"idempotency_key": lambda: "one"}])
def test_a_write_that_may_run_twice_runs_again_after_a_crash_and_nobody_is_asked(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    async def work() -> None:
        await killed(tmp_path, **options)
        life = Life(**options)
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert (state_of(chat, 1), life.runs) == (S.SUCCEEDED, 1)

    run(work)


def test_a_write_that_was_interrupted_again_and_again_is_left_to_the_user(tmp_path: Path) -> None:
    async def work() -> None:
        await killed(tmp_path, idempotent=True)
        for _ in range(2):
            life = Life(idempotent=True)
            async with life.chat(tmp_path) as chat:
                await life.began
                await kill(chat)
        async with Life(idempotent=True).chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.UNKNOWN

    run(work)


@pytest.mark.parametrize("effect", ["read", "write"])
def test_the_ends_of_the_process_after_a_signal_do_not_count_as_interruptions(tmp_path: Path, effect: Any) -> None:
    options = {"effect": effect, "idempotent": True}

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(4):
                # Each process takes the conversation over while the one before is at work, as after a kill.
                life = Life(**options)
                chat = life.chat(tmp_path)
                stack.push_async_callback(chat.aclose)
                await chat.ready()
                if not number:
                    await chat.send("!work").answer()
                await life.began
                if number % 2:
                    draining = asyncio.ensure_future(chat.conversations.drain(0.2))
                    stack.callback(draining.cancel)
                    while not operation(chat, 1).draining:
                        await asyncio.sleep(0.001)
            last = Life(**options)
            last.gate.set()
            chat = await stack.enter_async_context(last.chat(tmp_path))
            await chat.ready()
            await chat.settle()
            ended = operation(chat, 1)
            assert (ended.state, ended.attempt, ended.interrupted) == (S.SUCCEEDED, 5, 2)

    run(work)


def test_no_question_is_lost_because_much_was_written_after_it(tmp_path: Path) -> None:
    settings = ConversationSettings(history=1, waiting=1_000)

    def chat() -> Conversation:
        return Conversation(script, store=tmp_path / "x.db", settings=settings)

    script = Script(by_words)

    async def work() -> None:
        reached, _ = script.hold("turn 2")
        async with chat() as first:
            await first.send("hello").answer()
            waiting = [first.send(f"question {number}") for number in range(60)]
            await reached
            for each in waiting[1:]:
                await each.__anext__()
            assert len(first.transcript()) == 2 + 60
            await kill(first)
        script.gates.clear()
        async with chat() as second:
            await second.settle()
            said = [each.text for each in second.transcript()]
        assert said[2:] == [text for number in range(60) for text in (f"question {number}", f"you said question {number}")]

    run(work)
