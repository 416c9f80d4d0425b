"""Operations: background, cancellation, time limits, retries, resources, the queue."""

import asyncio
import threading
from typing import Any

import pytest

from coterie.conversation import (
    CancelAnswer,
    Conversation,
    ConversationSettings,
    Delivered,
    OperationProgressed,
    OperationState,
    ToolContext,
    tool,
)
from coterie.conversation.session import attempt_table
from coterie.conversation.session.session_log import SessionLog
from coterie.errors import UnknownOperation
from coterie.errors.conversation import TransitionRefused
from coterie.runtime import Context
from coterie.work import Retry

from .scripted import Gate, Script, all_events, by_words, next_delivery, operation, run, state_of

QUICK = ConversationSettings(patience=0.2, grace=0.02, cancel_grace=0.2)
S = OperationState


def chat_with(*tools: Any, settings: ConversationSettings = QUICK, **options: Any) -> Conversation:
    return Conversation(Script(by_words), tools, settings=settings, **options)


@pytest.mark.parametrize("kind", ["async", "sync", "blocking the loop"])
def test_a_tool_that_outlives_its_patience_goes_to_the_background_and_is_delivered(kind: str) -> None:
    gate = Gate()

    if kind == "async":

        @tool
        async def slow() -> str:
            await gate
            return "slow is done"
    elif kind == "sync":

        @tool
        def slow() -> str:
            gate.wait(10)
            return "slow is done"
    else:

        @tool
        async def slow() -> str:
            gate.wait(10)
            return "slow is done"

    async def work() -> None:
        async with chat_with(slow) as chat:
            assert "In the background: op-1" in await chat.send("!slow").answer()
            last = chat.last_event
            gate.set()
            delivered = await next_delivery(chat, last)
            assert delivered.text == "slow is done"
            assert not delivered.merged
            assert state_of(chat, 1) is S.SUCCEEDED

    run(work)


def test_a_quick_tool_is_waited_for_and_nothing_is_delivered() -> None:
    @tool
    def quick(number: int) -> dict[str, int]:
        return {"twice": number * 2}

    async def work() -> None:
        async with chat_with(quick) as chat:
            assert await chat.send('!quick {"number": 4}').answer() == '{"twice":8}'
            await chat.settle()
            assert not [each for each in await all_events(chat) if isinstance(each, Delivered)]

    run(work)


def test_learnt_durations_are_reported_and_send_long_tools_to_the_background(tmp_path: Any) -> None:
    @tool(effect="read", resources=[], patience=0.05)
    async def report() -> str:
        await asyncio.sleep(0.1)
        return "report"

    async def work() -> None:
        async with chat_with(report, store=tmp_path / "chats.db") as chat:
            assert "usually takes" not in await chat.send("!report").answer()
            await chat.settle()
            for _ in range(2):
                assert "usually takes" in await chat.send("!report").answer()
                await chat.settle()
        async with chat_with(report, store=tmp_path / "chats.db", namespace="another") as chat:
            # Learnt by another conversation, in another process for all this one knows.
            assert "usually takes about 0.1 s" in await chat.send("!report").answer()
            assert chat.conversations.metrics().tools["report"].backgrounded == 1
            await chat.settle()

    run(work)


def test_progress_is_reported_in_order_also_by_synchronous_tools() -> None:
    gate = Gate()

    @tool(long_running=True)
    def copy(context: ToolContext) -> str:
        context.progress(0.25, "a quarter")
        gate.wait(10)
        context.progress(0.5, "half")
        return "copied"

    async def work() -> None:
        async with chat_with(copy) as chat:
            await chat.send("!copy").answer()
            seen = []
            async for event in chat.events(0):
                if isinstance(event, OperationProgressed):
                    seen.append((event.fraction, event.line))
                    if not gate.done:
                        assert operation(chat, 1).fraction == 0.25
                        gate.set()
                if isinstance(event, Delivered):
                    break
            assert seen[0] == (0.25, "a quarter")
            assert seen == sorted(seen)

    run(work)


# Cancelling.


def cancelling(**options: Any) -> tuple[Any, Gate, Gate]:
    began, gate = Gate(), Gate()

    @tool(long_running=True, **options)
    async def work(context: ToolContext) -> str:
        began.set()
        await gate
        return "worked"

    return work, began, gate


def test_a_cancelled_queued_operation_never_starts() -> None:
    first, began, gate = cancelling()

    async def work() -> None:
        async with chat_with(first) as chat:
            await chat.send("!work\n!work").answer()
            await began
            assert [state_of(chat, 1), state_of(chat, 2)] == [S.RUNNING, S.QUEUED]
            assert await chat.cancel("op-2") is CancelAnswer.STOPPED
            gate.set()
            await chat.settle()
            assert [state_of(chat, 1), state_of(chat, 2)] == [S.SUCCEEDED, S.CANCELLED]
            assert operation(chat, 2).attempt == 0

    run(work)


def test_a_running_tool_that_is_cancelled_stops_before_its_effect() -> None:
    first, began, _ = cancelling()

    async def work() -> None:
        async with chat_with(first) as chat:
            await chat.send("!work").answer()
            await began
            assert await chat.cancel(1) is CancelAnswer.STOPPED
            assert state_of(chat, 1) is S.CANCELLED
            assert await chat.cancel(1) is CancelAnswer.TOO_LATE

    run(work)


def test_after_the_point_of_no_return_it_is_too_late() -> None:
    committed, gate = Gate(), Gate()

    @tool(long_running=True)
    async def pay(context: ToolContext) -> str:
        await context.point_of_no_return()
        committed.set()
        await gate
        return "paid"

    async def work() -> None:
        async with chat_with(pay) as chat:
            await chat.send("!pay").answer()
            await committed
            assert await chat.cancel(1) is CancelAnswer.TOO_LATE
            assert state_of(chat, 1) is S.RUNNING
            gate.set()
            await chat.settle()
            assert state_of(chat, 1) is S.SUCCEEDED

    run(work)


def test_a_started_write_with_compensate_is_undone() -> None:
    undone: list[int] = []
    first, began, _ = cancelling(compensate=lambda: undone.append(1))

    async def work() -> None:
        async with chat_with(first) as chat:
            await chat.send("!work").answer()
            await began
            assert await chat.cancel(1) is CancelAnswer.COMPENSATING
            await chat.settle()
            assert state_of(chat, 1) is S.COMPENSATED
            assert undone == [1]

    run(work)


def test_a_failed_compensation_is_reported() -> None:
    def undo() -> None:
        raise RuntimeError("no way back")

    first, began, _ = cancelling(compensate=undo)

    async def work() -> None:
        async with chat_with(first) as chat:
            await chat.send("!work").answer()
            await began
            await chat.cancel(1)
            await chat.settle()
            assert state_of(chat, 1) is S.FAILED
            assert "no way back" in operation(chat, 1).content
            assert "half done" in operation(chat, 1).detail

    run(work)


def test_a_synchronous_tool_sees_that_it_is_to_stop() -> None:
    began, asked = Gate(), threading.Event()

    @tool(long_running=True)
    def count(context: ToolContext) -> str:
        began.set()
        while True:
            context.progress(0.5)
            asked.wait(0.001)

    async def work() -> None:
        async with chat_with(count) as chat:
            await chat.send("!count").answer()
            await began
            assert await chat.cancel(1) is CancelAnswer.STOPPED
            assert state_of(chat, 1) is S.CANCELLED

    run(work)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_tool_that_ignores_cancellation_is_abandoned_and_its_result_is_dropped(kind: str) -> None:
    began, gate, over = Gate(), Gate(), Gate()

    if kind == "async":

        @tool(long_running=True, resources=["a"])
        async def stubborn() -> str:
            began.set()
            while not gate.done:
                try:
                    await gate
                except asyncio.CancelledError:
                    continue
            over.set()
            return "late"
    else:

        @tool(long_running=True, resources=["a"])
        def stubborn() -> str:
            began.set()
            gate.wait(10)
            over.set()
            return "late"

    @tool(resources=["a"])
    def other() -> str:
        return "other"

    async def work() -> None:
        async with chat_with(stubborn, other) as chat:
            await chat.send("!stubborn").answer()
            await began
            assert await chat.cancel(1) is CancelAnswer.TOO_LATE
            assert state_of(chat, 1) is S.TIMED_OUT
            assert "did not stop" in operation(chat, 1).detail
            # Its thread may still write: nobody else may touch the same, and nobody waits for ever.
            assert "still runs" in await chat.send("!other").answer()
            assert chat.conversations.metrics().tools["stubborn"].abandoned == 1
            gate.set()
            await over
            while chat.conversations.metrics().tools["stubborn"].abandoned:
                await asyncio.sleep(0)
            assert await chat.send("!other").answer() == "other"
            assert state_of(chat, 1) is S.TIMED_OUT
            assert operation(chat, 1).content == ""

    run(work)


# Time limits and retries.


def test_the_wait_for_a_thread_does_not_count_towards_the_timeout_of_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    run_blocking = Context.run_blocking

    async def later(self: Context, function: Any) -> Any:
        # Stands for a pool whose threads are all taken for a while.
        await asyncio.sleep(0.3)
        begun.append("begun")
        return await run_blocking(self, function)

    monkeypatch.setattr(Context, "run_blocking", later)

    @tool(long_running=True, timeout=0.2)
    def quick() -> str:
        return "in time"

    async def work() -> None:
        async with chat_with(quick) as chat:
            last = chat.last_event
            await chat.send("!quick").answer()
            assert (await next_delivery(chat, last)).text == "in time"
            assert state_of(chat, 1) is S.SUCCEEDED

    run(work)
    assert begun == ["begun"]


def test_a_tool_that_no_thread_begins_is_ended_with_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Context, function: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Context, "run_blocking", never)
    monkeypatch.setattr(attempt_table, "MOST_WAITED", 0.05)

    @tool(long_running=True, effect="read")
    def quick() -> str:
        return "never"

    async def work() -> None:
        async with chat_with(quick) as chat:
            last = chat.last_event
            await chat.send("!quick").answer()
            assert "no thread was free for it within 0.05 s" in (await next_delivery(chat, last)).text
            assert state_of(chat, 1).ended

    run(work)


def test_a_tool_over_its_timeout_is_ended_and_reported() -> None:
    @tool(long_running=True, timeout=0.05)
    async def never() -> None:
        await Gate()

    async def work() -> None:
        async with chat_with(never) as chat:
            await chat.send("!never").answer()
            delivered = await next_delivery(chat, 0)
            assert state_of(chat, 1) is S.TIMED_OUT
            assert "took longer than 0.05 s" in delivered.text
            assert chat.conversations.metrics().tools["never"].timed_out == 1

    run(work)


def test_progress_extends_the_idle_time_out() -> None:
    @tool(long_running=True, idle_timeout=0.3)
    async def lively(context: ToolContext) -> str:
        for step in range(8):
            await context.progress(step / 8)
            await asyncio.sleep(0.1)
        return "done"

    @tool(long_running=True, idle_timeout=0.05)
    async def silent() -> None:
        await Gate()

    async def work() -> None:
        async with chat_with(lively, silent) as chat:
            await chat.send("!lively").answer()
            await chat.settle()
            await chat.send("!silent").answer()
            await chat.settle()
            assert [state_of(chat, 1), state_of(chat, 2)] == [S.SUCCEEDED, S.TIMED_OUT]
            assert "said nothing" in operation(chat, 2).detail

    run(work)


def test_a_failed_attempt_is_made_again_with_the_same_idempotency_key_and_its_checkpoint() -> None:
    keys: list[str] = []
    restored: list[Any] = []

    @tool(retry=Retry(2, initial=0.01), idempotent=True)
    async def flaky(context: ToolContext) -> str:
        keys.append(context.idempotency_key)
        restored.append(context.restored)
        await context.checkpoint({"tried": context.attempt})
        if context.attempt < 3:
            raise OSError("the line is down")
        return "at last"

    async def work() -> None:
        async with chat_with(flaky, settings=ConversationSettings(patience=5)) as chat:
            assert await chat.send("!flaky").answer() == "at last"
            assert len(set(keys)) == 1
            assert restored == [None, {"tried": 1}, {"tried": 2}]
            assert operation(chat, 1).attempt == 3
            assert chat.conversations.metrics().tools["flaky"].retries == 2

    run(work)


def test_attempts_that_are_used_up_end_as_a_failure() -> None:
    @tool(effect="read", retry=Retry(1, initial=0.0))
    def broken() -> None:
        raise OSError("the line is down")

    async def work() -> None:
        async with chat_with(broken, settings=ConversationSettings(patience=5)) as chat:
            assert "OSError: the line is down" in await chat.send("!broken").answer()
            assert (state_of(chat, 1), operation(chat, 1).attempt) == (S.FAILED, 2)

    run(work)


def test_two_calls_with_one_idempotency_key_are_one_operation() -> None:
    paid: list[str] = []

    @tool(idempotency_key=lambda bill: bill)
    def pay(bill: str) -> str:
        paid.append(bill)
        return f"{bill} is paid"

    async def work() -> None:
        async with chat_with(pay) as chat:
            assert "a is paid" in await chat.send('!pay {"bill": "a"}\n!pay {"bill": "a"}').answer()
            assert "a is paid" in await chat.send('!pay {"bill": "a"}').answer()
            assert "b is paid" in await chat.send('!pay {"bill": "b"}').answer()
            assert paid == ["a", "b"]
            assert len(chat.operations()) == 2

    run(work)


# Resources.


def test_operations_that_touch_different_things_run_at_once_and_others_in_order() -> None:
    gates = {name: Gate() for name in "abc"}
    began = {name: Gate() for name in "abc"}
    order: list[str] = []

    @tool(long_running=True, resources=lambda name, on: [on])
    async def work_on(name: str, on: str) -> str:
        order.append(name)
        began[name].set()
        await gates[name]
        return name

    async def work() -> None:
        async with chat_with(work_on) as chat:
            lines = ('{"name": "a", "on": "x"}', '{"name": "b", "on": "y"}', '{"name": "c", "on": "x"}')
            answer = await chat.send("\n".join(f"!work_on {line}" for line in lines)).answer()
            await began["a"]
            await began["b"]
            assert "op-3 work_on waits in the queue at place 1 of 1" in answer
            assert [each.state for each in chat.operations()] == [S.RUNNING, S.RUNNING, S.QUEUED]
            assert not began["c"].done
            gates["a"].set()
            await began["c"]
            assert not gates["b"].done
            gates["b"].set()
            gates["c"].set()
            await chat.settle()
            assert all(each.state is S.SUCCEEDED for each in chat.operations())

    run(work)


def test_the_queue_can_be_looked_at_and_reordered() -> None:
    gate = Gate()
    order: list[str] = []

    @tool(long_running=True, resources=["x"])
    async def step(name: str) -> str:
        order.append(name)
        await gate
        return name

    async def work() -> None:
        async with chat_with(step) as chat:
            await chat.send("\n".join(f'!step {{"name": "{name}"}}' for name in "abcd")).answer()
            assert [each.id for each in chat.operations(unfinished=True)] == ["op-1", "op-2", "op-3", "op-4"]
            assert [each.id for each in await chat.reorder("op-4", 0)] == ["op-4", "op-2", "op-3"]
            assert [each.id for each in await chat.reorder("op-2", 9)] == ["op-4", "op-3", "op-2"]
            with pytest.raises(TransitionRefused, match="only a queued operation"):
                await chat.reorder("op-1")
            with pytest.raises(UnknownOperation):
                await chat.reorder("op-9")
            gate.set()
            await chat.settle()
            assert order == ["a", "d", "c", "b"]

    run(work)


def test_tools_get_provided_objects_and_share_notes(tmp_path: Any) -> None:
    class Database(dict[str, int]):
        pass

    @tool
    def log_in(context: ToolContext) -> str:
        context.note("user", {"name": context.user}).result()
        return context.use(Database)["a"].__str__() + "/".join(context.namespace)

    @tool(effect="read")
    def who(context: ToolContext) -> Any:
        return context.values.get("user")

    async def work() -> None:
        options: dict[str, Any] = {"store": tmp_path / "x.db", "namespace": ("c", "4"), "user": "Ada"}
        async with chat_with(log_in, who, provide=[Database(a=1)], **options) as chat:
            assert await chat.send("!log_in").answer() == "1c/4"
            assert await chat.send("!who").answer() == '{"name":"Ada"}'
        async with chat_with(log_in, who, **options) as chat:
            assert await chat.send("!who").answer() == '{"name":"Ada"}'
            assert "ServiceMissing" in await chat.send("!log_in").answer()

    run(work)


def test_a_cancel_is_answered_truly_although_the_end_was_told_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    record = SessionLog.record

    async def recording(self: SessionLog, *entries: Any, **options: Any) -> Any:
        made = await record(self, *entries, **options)
        for each in options.get("operations", ()):
            while each.state is OperationState.CANCELLING and each.number in self.operations:
                await asyncio.sleep(0.001)
        return made

    monkeypatch.setattr(SessionLog, "record", recording)
    begun = Gate()

    @tool(effect="read", long_running=True)
    async def wait() -> str:
        begun.set()
        await Gate()
        return "never"

    async def main() -> None:
        async with Conversation(Script(by_words), tools=[wait]) as chat:
            operation = await chat.call("wait", {})
            await begun
            assert await chat.cancel(operation) is CancelAnswer.STOPPED

    run(main)


def test_a_program_is_told_an_outcome_that_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    record, ended = SessionLog.record, Gate()

    def recording(self: SessionLog, *entries: Any, **options: Any) -> Any:
        pending = record(self, *entries, **options)
        if any(each.ended for each in options.get("operations", ())):
            ended.set()
        return pending

    monkeypatch.setattr(SessionLog, "record", recording)
    begun, see = Gate(), Gate()

    @tool(effect="read")
    async def look() -> str:
        begun.set()
        await see
        return "seen"

    async def main() -> None:
        async with Conversation(Script(by_words), tools=[look]) as chat:
            operation = await chat.call("look", {})
            await begun
            database, held = chat.state.host.journal.database, threading.Event()
            try:
                database.write(lambda _: held.wait(10))
                see.set()
                await ended
                outcome = asyncio.ensure_future(chat.outcome(operation))
                await asyncio.sleep(0.05)
                assert not outcome.done()
            finally:
                held.set()
            assert (await outcome).state is S.SUCCEEDED

    run(main)


def test_a_call_of_a_program_is_written_when_it_begins_and_when_it_ends() -> None:
    @tool(effect="read")
    async def look() -> str:
        return "seen"

    async def main() -> None:
        async with Conversation(Script(by_words), tools=[look]) as chat:
            await chat.outcome(await chat.call("look", {}))
            await chat.settle()
            database = chat.state.host.journal.database
            for _ in range(3):
                before = database.statistics().stored
                operation = await chat.outcome(await chat.call("look", {}))
                await chat.settle()
                assert database.statistics().stored == before + 2
                assert operation.state is S.SUCCEEDED
                assert operation.delivered

    run(main)
