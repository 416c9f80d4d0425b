"""An orderly end leaves nothing unknown that can be known: running work gets time, the rest is stopped and recorded."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import (
    Conversation,
    Conversations,
    ConversationSettings,
    Delivered,
    Finding,
    OperationState,
    ToolContext,
    TurnOutcome,
    tool,
)
from coterie.errors import ConversationClosed

from .scripted import Gate, Script, all_events, by_words, operation, run, state_of

SETTINGS = ConversationSettings(patience=5, grace=0.02, cancel_grace=0.3, shutdown_grace=20)
S = OperationState


class Life:
    """One process: a tool that says where it was when it was stopped."""

    def __init__(self, *, committed: bool = False, stubborn: bool = False, blocking: bool = False, **options: Any) -> None:
        self.began, self.gate = Gate(), Gate()
        self.log: list[str] = []

        async def work(context: ToolContext) -> str:
            self.log.append("began")
            if committed:
                await context.point_of_no_return()
            self.began.set()
            while True:
                try:
                    await self.gate
                    break
                except asyncio.CancelledError:
                    self.log.append("stopped")
                    if not stubborn or self.log.count("stopped") > 1:
                        raise
            self.log.append("worked")
            return "worked"

        def blocked(context: ToolContext) -> str:
            self.began.set()
            while not self.gate.done:
                context.progress(0.5)
                threading.Event().wait(0.001)
            return "worked"

        function: Any = blocked if blocking else work
        given: dict[str, Any] = {"name": "work", "resources": ["a"], "long_running": True}
        self.tool = tool(**(given | options))(function)
        self.script = Script(by_words)

    def chat(self, path: Path) -> Conversation:
        return Conversation(self.script, [self.tool], store=path / "x.db", settings=SETTINGS)

    async def ended_while_it_works(self, path: Path) -> None:
        async with self.chat(path) as chat:
            await chat.send("!work").answer()
            await self.began


async def told(chat: Conversation) -> list[str]:
    return [each.text for each in await all_events(chat) if isinstance(each, Delivered)]


@pytest.mark.parametrize("blocking", [False, True])
def test_an_operation_stopped_before_its_point_of_no_return_is_cancelled_and_reported_once(
    tmp_path: Path, blocking: bool
) -> None:
    async def work() -> None:
        await Life(blocking=blocking).ended_while_it_works(tmp_path)
        for _ in range(2):
            life = Life()
            async with life.chat(tmp_path) as chat:
                await chat.settle()
                assert state_of(chat, 1) is S.CANCELLED
                assert await told(chat) == [
                    "work was cancelled before it took effect: the service was stopped; ask for it again if it is still wanted."
                ]
                assert life.log == []

    run(work)


@pytest.mark.parametrize("options", [{"effect": "read"}, {"idempotent": True}, {"idempotency_key": lambda: "one"}])
def test_an_operation_that_may_run_twice_runs_again_at_the_next_opening(tmp_path: Path, options: dict[str, Any]) -> None:
    async def work() -> None:
        await Life(**options).ended_while_it_works(tmp_path)
        life = Life(**options)
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert (state_of(chat, 1), operation(chat, 1).attempt, life.log) == (S.SUCCEEDED, 2, ["began", "worked"])
            assert await told(chat) == ["worked"]

    run(work)


@pytest.mark.parametrize(
    ("finding", "state"),
    [(Finding.done("it was done"), S.SUCCEEDED), (Finding.resume(), S.SUCCEEDED), (Finding.unknown(), S.CANCELLED)],
)
def test_a_check_decides_at_the_next_opening_and_an_undecided_one_ends_the_operation_too(
    tmp_path: Path, finding: Finding, state: OperationState
) -> None:
    async def work() -> None:
        await Life(check=lambda: finding).ended_while_it_works(tmp_path)
        life = Life(check=lambda: finding)
        life.gate.set()
        async with life.chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is state
            assert len(await told(chat)) == 1

    run(work)


def test_a_check_that_is_gone_leaves_nothing_unknown(tmp_path: Path) -> None:
    async def work() -> None:
        await Life(check=Finding.resume).ended_while_it_works(tmp_path)
        async with Life().chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.CANCELLED

    run(work)


def test_an_operation_with_a_compensation_is_undone_at_the_end(tmp_path: Path) -> None:
    undone: list[int] = []

    async def work() -> None:
        await Life(compensate=lambda: undone.append(1)).ended_while_it_works(tmp_path)
        assert undone == [1]
        async with Life(compensate=lambda: undone.append(2)).chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.COMPENSATED

    run(work)
    assert undone == [1]


def test_an_operation_past_its_point_of_no_return_has_time_to_end(tmp_path: Path) -> None:
    async def work() -> None:
        life = Life(committed=True)
        async with life.chat(tmp_path) as chat:
            await chat.send("!work").answer()
            await life.began
            closing = asyncio.ensure_future(chat.aclose())
            while chat.activator.is_alive:
                await asyncio.sleep(0)
            life.gate.set()
            await closing
        async with Life().chat(tmp_path) as chat:
            await chat.settle()
            assert (state_of(chat, 1), life.log) == (S.SUCCEEDED, ["began", "worked"])

    run(work)


def test_an_operation_that_does_not_stop_has_an_unknown_outcome_as_after_a_crash(tmp_path: Path) -> None:
    async def work() -> None:
        life = Life(stubborn=True)
        await life.ended_while_it_works(tmp_path)
        assert life.log[:2] == ["began", "stopped"]
        async with Life().chat(tmp_path) as chat:
            await chat.settle()
            assert state_of(chat, 1) is S.UNKNOWN
        life.gate.set()

    run(work)


def test_draining_lets_running_work_end_starts_none_and_takes_no_message(tmp_path: Path) -> None:
    async def work() -> None:
        life = Life()
        async with Conversations(life.script, [life.tool], store=tmp_path / "x.db", settings=SETTINGS) as host:
            chat = host.open("a")
            await chat.send("!work\n!work").answer()
            await life.began
            draining = asyncio.ensure_future(host.drain())
            while not host._draining:
                await asyncio.sleep(0)
            with pytest.raises(ConversationClosed):
                chat.send("one more")
            with pytest.raises(ConversationClosed):
                host.open("b")
            assert not draining.done()
            life.gate.set()
            await draining
            assert life.log == ["began", "worked"]
            again = host.open("a")
            await again.settle()
            assert [each.state for each in again.operations()] == [S.SUCCEEDED, S.SUCCEEDED]
            assert await told(again) == ["worked", "worked"]

    run(work)


def test_draining_lets_an_answer_end(tmp_path: Path) -> None:
    async def work() -> None:
        life = Life()
        reached, go = life.script.hold("turn 1")
        async with Conversations(life.script, [life.tool], store=tmp_path / "x.db", settings=SETTINGS) as host:
            chat = host.open("a")
            first, second = chat.send("hello there"), chat.send("and more")
            await reached
            draining = asyncio.ensure_future(host.drain())
            await asyncio.sleep(0)
            go.set()
            ended = await first.end()
            assert (ended.outcome, ended.text) == (TurnOutcome.ANSWERED, "you said hello there")
            await draining
            # The other message is on the disk, and is answered when the conversation is opened again.
            with pytest.raises(ConversationClosed):
                await second.answer()
            again = host.open("a")
            await again.settle()
            assert [each.text for each in again.transcript()][-1] == "you said and more"

    run(work)
