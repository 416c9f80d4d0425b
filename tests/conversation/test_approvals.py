"""Operations that await approval: answered by people, in words or by calls, once, and never without consent to what runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import (
    CancelAnswer,
    Conversation,
    ConversationSettings,
    Delivered,
    Operation,
    OperationChanged,
    OperationState,
    tool,
)
from coterie.errors import ApprovalForbidden, DefinitionError, InvalidArguments, TransitionRefused
from coterie.testing import ManualClock

from .scripted import Script, all_events, by_words, kill, next_delivery, operation, run, state_of

SETTINGS = ConversationSettings(patience=5, grace=0.02, idle_timeout=None)
AWAITING = OperationState.AWAITING_APPROVAL


def chat_with(done: list[Any], path: Path | None = None, clock: ManualClock | None = None, **options: Any) -> Conversation:
    @tool(confirm="Really pay?", resources=["money"], **options)
    def pay(amount: int) -> str:
        done.append(amount)
        return f"{amount} paid"

    return Conversation(Script(by_words), [pay], store=path, settings=SETTINGS, clock=clock, user="ann")


async def asked(chat: Conversation, amount: int = 5) -> Operation:
    assert "Really pay?" in await chat.send(f'!pay {{"amount": {amount}}}').answer()
    return next(each for each in reversed(chat.operations()) if each.state is AWAITING)


def test_an_operation_awaits_approval_and_runs_once_approved() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            assert (waiting.question, waiting.consent, waiting.arguments) == ("Really pay?", 1, {"amount": 5})
            await chat.settle()
            assert done == []
            after = chat.last_event
            assert (await chat.approve(waiting)).approver == "ann"
            told = await next_delivery(chat, after)
            assert (told.text, done) == ("5 paid", [5])
            states = [each.operation.state for each in await all_events(chat) if isinstance(each, OperationChanged)]
            assert states[0] is AWAITING
            assert states[-1] is OperationState.SUCCEEDED
            # Twice, and late.
            with pytest.raises(TransitionRefused, match="approved by ann before"):
                await chat.approve(waiting)
            with pytest.raises(TransitionRefused, match="approved by ann before"):
                await chat.reject(waiting)
            with pytest.raises(TransitionRefused, match="approved by ann before"):
                await chat.edit(waiting, {"amount": 1})
            assert done == [5]

    run(work)


def test_the_users_word_approves_the_same_operation() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            assert "5 paid" in await chat.send('!pay {"amount": 5}').answer()
            assert [each.number for each in chat.operations()] == [waiting.number]
            assert operation(chat, waiting.number).approver == "ann"
            assert done == [5]
            await chat.settle()
            assert not any(isinstance(each, Delivered) for each in await all_events(chat))

    run(work)


def test_words_for_other_arguments_or_after_a_change_are_no_consent() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            await chat.edit(waiting, {"amount": 7})
            assert "Really pay?" in await chat.send('!pay {"amount": 5}').answer()
            assert done == []
            assert [each.arguments["amount"] for each in chat.operations()] == [7, 5]

    run(work)


def test_a_rejected_operation_is_cancelled_and_the_user_is_told_once() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            after = chat.last_event
            assert (await chat.reject(waiting.id, "too much")).state is OperationState.CANCELLED
            assert "it was rejected: too much" in (await next_delivery(chat, after)).text
            await chat.settle()
            with pytest.raises(TransitionRefused, match="too much"):
                await chat.approve(waiting.id)
            assert sum(isinstance(each, Delivered) for each in await all_events(chat)) == 1
            assert done == []

    run(work)


def test_changed_arguments_need_a_new_consent() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            with pytest.raises(InvalidArguments, match="amount"):
                await chat.edit(waiting, {"amount": "much"})
            assert await chat.edit(waiting, {"amount": 5}) == waiting
            changed = await chat.edit(waiting, {"amount": 6})
            assert (changed.state, changed.consent) == (AWAITING, 2)
            with pytest.raises(TransitionRefused, match="arguments were changed"):
                await chat.approve(waiting)
            with pytest.raises(TransitionRefused, match="arguments were changed"):
                await chat.reject(waiting.id, consent=1)
            await chat.approve(changed)
            await chat.settle()
            assert done == [6]

    run(work)


def test_the_approver_decides_who_may() -> None:
    async def work() -> None:
        done: list[Any] = []

        def only_the_boss(operation: Operation, person: str) -> bool | str:
            return person == "boss" or f"{person} is not the boss, who decides on {operation.arguments['amount']}"

        async with chat_with(done, approver=only_the_boss) as chat:
            assert "needs the approval of another person" in await chat.send('!pay {"amount": 5}').answer()
            waiting = chat.operations()[0]
            assert waiting.elsewhere
            for decide in (chat.approve, chat.reject):
                with pytest.raises(ApprovalForbidden, match="not the boss, who decides on 5"):
                    await decide(waiting)
            with pytest.raises(ApprovalForbidden):
                await chat.edit(waiting, {"amount": 1})
            # The user's word does not count either.
            assert "may not approve op-1" in await chat.send('!pay {"amount": 5}').answer()
            assert done == []
            assert (await chat.approve(waiting, person="boss")).approver == "boss"
            await chat.settle()
            assert done == [5]

    run(work)


def test_a_failing_approver_permits_no_person() -> None:
    async def work() -> None:
        async with chat_with([], approver=lambda person: 1 // 0) as chat:
            await chat.send('!pay {"amount": 5}').answer()
            with pytest.raises(ApprovalForbidden, match="ZeroDivisionError"):
                await chat.approve("op-1")

    run(work)


def test_a_request_survives_a_restart_and_lapses() -> None:
    async def work(path: Path) -> None:
        done: list[Any] = []
        chat = chat_with(done, path)
        waiting = await asked(chat)
        await kill(chat)
        chat.close()
        async with chat_with(done, path) as chat:
            await chat.ready()
            assert state_of(chat, 1) is AWAITING
            assert [each.state for each in chat.operations(unfinished=True)] == [AWAITING]
            await chat.approve(waiting)
            await chat.settle()
        assert done == [5]
        clock = ManualClock()
        async with chat_with(done, clock=clock) as chat:
            await asked(chat, 8)
            after = chat.last_event
            clock.advance(86_401)
            assert "it was not approved within" in (await next_delivery(chat, after)).text
            with pytest.raises(TransitionRefused, match="not approved within"):
                await chat.approve("op-1")
        assert done == [5]

    import tempfile  # noqa: PLC0415 - here only

    with tempfile.TemporaryDirectory() as folder:
        run(lambda: work(Path(folder) / "chats.db"))


def test_a_request_that_lapsed_while_the_process_was_down_ends_at_the_next_opening(tmp_path: Path) -> None:
    async def work() -> None:
        chat = chat_with([], tmp_path / "chats.db", ManualClock())
        await asked(chat)
        chat.close()
        later = ManualClock()
        later.advance(100_000)
        async with chat_with([], tmp_path / "chats.db", later) as chat:
            assert "not approved within" in (await next_delivery(chat, 0)).text

    run(work)


def test_cancel_and_the_guard_count_while_it_waits() -> None:
    async def work() -> None:
        done: list[Any] = []
        closed: list[bool] = []
        async with chat_with(done, guard=lambda: "the shop is closed" if closed else None) as chat:
            first = await asked(chat)
            assert await chat.cancel(first) is CancelAnswer.STOPPED
            second = await asked(chat, 9)
            closed.append(True)
            with pytest.raises(TransitionRefused, match="the shop is closed"):
                await chat.approve(second)
            closed.clear()
            await chat.approve(second)
            await chat.settle()
            assert done == [9]

    run(work)


def test_two_answers_at_the_same_time_count_once() -> None:
    async def work() -> None:
        done: list[Any] = []
        async with chat_with(done) as chat:
            waiting = await asked(chat)
            answers = (
                chat.approve(waiting),
                chat.reject(waiting),
                chat.approve(waiting),
                chat.send('!pay {"amount": 5}').end(),
            )
            outcomes = await asyncio.gather(*answers, return_exceptions=True)
            assert sum(isinstance(each, Operation) for each in outcomes) <= 1
            await chat.settle()
            ended = operation(chat, waiting.number)
            assert len(done) == (ended.state is OperationState.SUCCEEDED)

    run(work)


def test_a_person_resolves_an_unknown_outcome(tmp_path: Path) -> None:
    async def work() -> None:
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        @tool(resources=["money"])
        async def send_money(amount: int) -> str:
            loop.call_soon_threadsafe(started.set)
            await asyncio.sleep(3600)
            return f"{amount} sent"

        chat = Conversation(Script(by_words), [send_money], store=tmp_path / "chats.db", settings=SETTINGS)
        chat.send('!send_money {"amount": 5}')
        await started.wait()
        await kill(chat)
        chat.close()
        async with Conversation(Script(by_words), [send_money], store=tmp_path / "chats.db", settings=SETTINGS) as chat:
            await chat.settle()
            assert state_of(chat, 1) is OperationState.UNKNOWN
            resolved = await chat.resolve("op-1", "succeeded", "I saw it", person="boss")
            assert (resolved.state, resolved.detail) == (OperationState.SUCCEEDED, "as boss told")
            with pytest.raises(TransitionRefused, match="known"):
                await chat.resolve("op-1", "retry")

    run(work)


def test_an_approver_without_a_question_is_a_mistake() -> None:
    def pay(amount: int) -> None:
        """Pay."""

    with pytest.raises(DefinitionError, match="confirm"):
        tool(approver=lambda person: True)(pay)
    with pytest.raises(DefinitionError, match="amount"):
        tool(confirm=True, approver=lambda amount: True)(pay)
