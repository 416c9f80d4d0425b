"""The lanes: the runtime, not the prompt, limits calls while an operation runs."""

from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import Conversation, ConversationSettings, OperationState, TurnBegan, tool
from coterie.conversation.entries import identify
from coterie.conversation.events import Lane
from coterie.models import ModelReply, ModelRequest, TextMessage

from .scripted import Gate, Script, by_words, operation, run, state_of

QUICK = ConversationSettings(patience=0.2, grace=0.02, cancel_grace=0.2)


class Shop:
    """A long write on ``contract``, another write, and reads."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.began = Gate()
        self.changed: list[str] = []

        @tool(effect="write", resources=["contract"], long_running=True)
        async def close_contract() -> str:
            self.began.set()
            await self.gate
            return "the contract is closed"

        @tool(effect="write", resources=["alerts"])
        def set_alert(level: int) -> str:
            self.changed.append(f"alert {level}")
            return f"alert at {level}"

        @tool(effect="read", resources=["balance"])
        def balance() -> int:
            return 42

        @tool(effect="read", resources=["contract"])
        def contract() -> str:
            return "contract 7"

        self.tools: list[Any] = [close_contract, set_alert, balance, contract]

    def chat(self, script: Script | None = None, **options: Any) -> Conversation:
        return Conversation(script or Script(by_words), self.tools, settings=QUICK, **options)


def test_while_something_runs_the_user_is_answered_by_the_second_lane() -> None:
    shop = Shop()

    async def work() -> None:
        async with shop.chat() as chat:
            assert (await chat.send("hello").end()).lane is Lane.MAIN
            # The very first message after the beginning already goes the right way.
            assert (await chat.send("!close_contract").end()).lane is Lane.MAIN
            assert (await chat.send("how are you").end()).lane is Lane.SECOND
            shop.gate.set()
            await chat.settle()
            assert (await chat.send("hello").end()).lane is Lane.MAIN

    run(work)


@pytest.mark.parametrize(
    ("call", "told", "permitted"),
    [
        ("!balance", "42", True),
        ("!contract", "op-1 close_contract is changing what contract reads", False),
        ('!set_alert {"level": 3}', "something else is running: queue it with request", False),
        ("!close_contract", "something else is running: queue it with request", False),
    ],
)
def test_the_runtime_permits_only_safe_calls_in_the_second_lane(call: str, told: str, *, permitted: bool) -> None:
    shop = Shop()

    async def work() -> None:
        async with shop.chat() as chat:
            await chat.send("!close_contract").answer()
            await shop.began
            assert told in await chat.send(call).answer()
            assert len(chat.operations()) == 1 + permitted
            assert shop.changed == []

    run(work)


def test_the_second_lane_offers_only_safe_tools_and_lists_operations() -> None:
    shop, script = Shop(), Script(by_words)

    async def work() -> None:
        async with shop.chat(script) as chat:
            await chat.send("!close_contract").answer()
            await chat.send("hello").answer()

    run(work)
    names = {each.name for each in script.requests[-1].tools}
    assert names == {"balance", "contract", "check_status", "cancel", "list", "request"}
    assert "op-1 close_contract is running" in script.requests[-1].instructions


def test_a_requested_operation_is_queued_and_delivered() -> None:
    shop = Shop()

    async def work() -> None:
        async with shop.chat() as chat:
            await chat.send("!close_contract").answer()
            answer = await chat.send('!request {"tool": "close_contract", "arguments": {}}').answer()
            assert "op-2 close_contract waits in the queue" in answer
            answer = await chat.send('!request {"tool": "set_alert", "arguments": {"level": 5}}').answer()
            assert "Taken: op-3 set_alert" in answer
            assert "do not fit" in await chat.send('!request {"tool": "set_alert", "arguments": {}}').answer()
            assert "no tool" in await chat.send('!request {"tool": "nothing", "arguments": {}}').answer()
            shop.gate.set()
            await chat.settle()
            assert shop.changed == ["alert 5"]
            assert [each.delivered for each in chat.operations()] == [True] * 3

    run(work)


def test_the_status_can_be_asked_listed_and_the_operation_cancelled_by_the_model() -> None:
    shop = Shop()

    async def work() -> None:
        async with shop.chat() as chat:
            await chat.send("!close_contract").answer()
            await shop.began
            assert "op-1 close_contract is running, 0% done" in await chat.send("!check_status").answer()
            assert "op-1 close_contract" in await chat.send("!list").answer()
            assert "no operation 'op-9'" in await chat.send('!check_status {"operation": "op-9"}').answer()
            answer = await chat.send('!cancel {"operation": "op-1"}').answer()
            assert "stopped before effect" in answer
            await chat.settle()
            assert state_of(chat, 1) is OperationState.CANCELLED
            assert operation(chat, 1).delivered

    run(work)


def test_two_messages_at_once_are_both_answered_in_their_order() -> None:
    async def work() -> None:
        async with Shop().chat() as chat:
            streams = [chat.send(f"message {number}") for number in range(20)]
            assert [await each.answer() for each in streams] == [f"you said message {number}" for number in range(20)]
            said = [each.text for each in chat.transcript()]
            assert said == [text for number in range(20) for text in (f"message {number}", f"you said message {number}")]

    run(work)


def test_a_message_with_an_id_is_answered_once_however_often_it_is_sent() -> None:
    script = Script(by_words)

    async def work() -> None:
        async with Shop().chat(script) as chat:
            streams = [chat.send("hello", id="m1") for _ in range(5)]
            assert [await each.answer() for each in streams] == ["you said hello"] * 5
            assert await chat.send("hello", id="m1").answer() == "you said hello"
            assert await chat.send("hello", id="m2").answer() == "you said hello"
        assert len(script.requests) == 2

    run(work)


def test_a_confirmed_tool_needs_consent_of_the_user_in_between() -> None:
    done: list[str] = []

    @tool(confirm="Really delete it?")
    def delete(name: str) -> str:
        done.append(name)
        return f"{name} is gone"

    def eager(request: ModelRequest) -> ModelReply | str:
        # A model that would confirm by itself, in the same turn, as often as it is let.
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) or "Not done yet" in getattr(last, "content", ""):
            asked = sum(isinstance(each, TextMessage) and each.role == "user" for each in request.exchanges)
            repeats = sum("Not done yet" in getattr(each, "content", "") for each in request.exchanges)
            if repeats < 3 * asked and "no" not in getattr(last, "text", ""):
                return by_words(ModelRequest(exchanges=(TextMessage("user", '!delete {"name": "x"}'),)))
        return by_words(request)

    async def work() -> None:
        async with Conversation(Script(eager), [delete]) as chat:
            assert "Really delete it?" in await chat.send("delete x").answer()
            assert done == []
            assert "x is gone" in await chat.send("yes").answer()
            assert done == ["x"]
            # Consent is used up.
            assert "Really delete it?" in await chat.send("again").answer()
            assert done == ["x"]

    run(work)


def test_consent_lapses_when_the_answer_led_to_something_else() -> None:
    done: list[str] = []

    @tool(confirm=True)
    def delete(name: str) -> str:
        done.append(name)
        return f"{name} is gone"

    async def work() -> None:
        async with Conversation(Script(by_words), [delete]) as chat:
            assert "really delete?" in await chat.send('!delete {"name": "x"}').answer()
            await chat.send("no, leave it").answer()
            assert "really delete?" in await chat.send('!delete {"name": "x"}').answer()
            assert done == []
            assert await chat.send('!delete {"name": "x"}').answer() == "x is gone"

    run(work)


def test_a_message_from_before_the_question_is_not_consent() -> None:
    done: list[str] = []

    @tool(confirm=True)
    def delete(name: str) -> str:
        done.append(name)
        return f"{name} is gone"

    async def work() -> None:
        script = Script(by_words)
        reached, go_on = script.hold("turn 1/")
        async with Conversation(script, [delete]) as chat:
            asked = chat.send('!delete {"name": "x"}')
            await reached
            too_early = chat.send('!delete {"name": "x"}')
            # The second was taken in while the first was being answered.
            async for event in chat.events(0):
                if isinstance(event, TurnBegan) and event.turn == 2:
                    break
            go_on.set()
            assert "really delete?" in await asked.answer()
            assert "really delete?" in await too_early.answer()
            assert done == []

    run(work)


def test_confirm_can_build_the_question_and_its_exception_refuses_the_call() -> None:
    @tool(confirm=lambda context, name: f"{context.namespace[-1]}, delete {name} and {1 // len(name)} more?")
    def delete(name: str) -> str:
        return f"{name} is gone"

    async def work() -> None:
        async with Conversation(Script(by_words), [delete], namespace=("user", "Ada")) as chat:
            assert "Ask: Ada, delete x and 1 more?" in await chat.send('!delete {"name": "x"}').answer()
            assert await chat.send('!delete {"name": "x"}').answer() == "x is gone"
            assert "ZeroDivisionError" in await chat.send('!delete {"name": ""}').answer()
            assert len(chat.operations()) == 1

    run(work)


def test_the_events_there_are_can_be_read_without_waiting_for_more() -> None:
    async def work() -> None:
        async with Conversation(Script(by_words)) as chat:
            assert [each async for each in chat.events(0, follow=False)] == []
            await chat.send("hello").end()
            seen = [each async for each in chat.events(0, follow=False)]
            assert isinstance(seen[0], TurnBegan)
            assert seen[-1].id == chat.last_event
            assert [each async for each in chat.events(follow=False)] == []

    run(work)


def test_ready_returns_after_a_reopened_conversation_is_restored(tmp_path: Path) -> None:
    async def work() -> None:
        before = identify(1)
        for round_ in range(3):
            async with Conversation(Script(by_words), store=tmp_path / "chats.db") as chat:
                last = await chat.ready()
                assert last == chat.last_event
                assert (last > before) == (round_ > 0)
                before = last
                assert [each async for each in chat.events(last, follow=False)] == []
                await chat.send("hello").end()

    run(work)


def test_a_guard_refuses_before_anything_is_written() -> None:
    @tool(guard=lambda context, name: None if context.values.get("user") else f"log in before you touch {name}")
    def touch(name: str) -> str:
        return f"touched {name}"

    @tool(guard=lambda: 1 / 0)
    def broken() -> str:
        return "never"

    log_in = tool(name="log_in")(log_in_function)

    async def work() -> None:
        async with Conversation(Script(by_words), [touch, broken, log_in]) as chat:
            assert "log in before you touch a" in await chat.send('!touch {"name": "a"}').answer()
            assert "ZeroDivisionError" in await chat.send("!broken").answer()
            assert chat.operations() == ()
            await chat.send("!log_in").answer()
            assert await chat.send('!touch {"name": "a"}').answer() == "touched a"

    run(work)


def log_in_function(context) -> str:  # type: ignore[no-untyped-def] # by its name alone it gets the context
    context.note("user", 1)
    return "in"


def test_a_short_write_of_the_second_lane_runs_beside_others_unless_they_use_the_same() -> None:
    shop = Shop()

    @tool(effect="write", resources=["login"], second_lane=True)
    def log_in() -> str:
        return "logged in"

    @tool(effect="write", resources=["contract"], second_lane=True)
    def sign() -> str:
        return "signed"

    shop.tools += [log_in, sign]

    async def work() -> None:
        async with shop.chat() as chat:
            await chat.send("!close_contract").end()
            await shop.began
            assert await chat.send("!log_in").answer() == "logged in"
            assert "op-1 close_contract uses the same" in await chat.send("!sign").answer()
            shop.gate.set()
            await chat.settle()

    run(work)
