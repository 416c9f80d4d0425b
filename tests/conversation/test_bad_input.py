"""Invalid input gets a clear error, and nothing is lost."""

import asyncio
import sys
from typing import Any

import pytest

from coterie.conversation import (
    Conversation,
    Conversations,
    ConversationSettings,
    OperationState,
    TurnOutcome,
    tool,
)
from coterie.errors import (
    ConversationClosed,
    ConversationFull,
    ConversationTaken,
    DefinitionError,
    InvalidSetting,
    ModelError,
    UnknownOperation,
)
from coterie.errors.conversation import InvalidNamespace, InvalidText
from coterie.models import ModelReply, ModelRequest, TextDelta

from .scripted import Gate, Script, by_words, calls, operation, run, state_of


@tool(effect="read")
def double(number: int) -> int:
    return number * 2


def test_the_model_gets_errors_of_unknown_tools_and_invalid_arguments_and_can_correct_them() -> None:
    replies: Any = iter(
        [calls(("tripple", {"number": 1})), calls(("double", {"number": "x"})), calls(("double", {"number": 4})), "it is 8"]
    )
    script = Script(lambda _: next(replies))

    async def work() -> None:
        async with Conversation(script, [double]) as chat:
            assert await chat.send("double 4").answer() == "it is 8"
            assert [each.arguments for each in chat.operations()] == [{"number": 4}]

    run(work)
    told = [each.content for each in script.requests[-1].exchanges if hasattr(each, "content")]
    assert "there is no tool 'tripple'; there are: double" in told[0]
    assert "number: Input should be a valid integer" in told[1]


def test_a_model_that_never_learns_is_stopped() -> None:
    script = Script(lambda _: calls(("double", {"number": "x"})))

    async def work() -> None:
        async with Conversation(script, [double], settings=ConversationSettings(mistakes=3)) as chat:
            end = await chat.send("double it").end()
            assert end.outcome is TurnOutcome.FAILED
            assert "sorry" in end.text
            assert "were invalid" in end.problem

    run(work)
    assert len(script.requests) == 4


def test_a_model_that_calls_for_ever_is_stopped() -> None:
    script = Script(lambda _: calls(("double", {"number": 1})))

    async def work() -> None:
        async with Conversation(script, [double], settings=ConversationSettings(steps=5)) as chat:
            end = await chat.send("double it").end()
            assert (end.outcome, len(script.requests)) == (TurnOutcome.FAILED, 5)

    run(work)


class Odd:
    pass


@pytest.mark.parametrize(
    ("returned", "state", "told"),
    [
        (Odd(), OperationState.FAILED, "Odd"),
        ("\ud800", OperationState.FAILED, "surrogates"),
        ({1, 2} and {"a": Odd()}, OperationState.FAILED, "Odd"),
        (None, OperationState.SUCCEEDED, ""),
        ({"a": [1, 2.5, None]}, OperationState.SUCCEEDED, '{"a":[1,2.5,null]}'),
        (b"raw", OperationState.SUCCEEDED, '"cmF3"'),
    ],
)
def test_a_result_is_reported_or_its_encoding_error_is(returned: Any, state: OperationState, told: str) -> None:
    @tool
    def give() -> Any:
        return returned

    async def work() -> None:
        async with Conversation(Script(by_words), [give]) as chat:
            await chat.send("!give").answer()
            assert state_of(chat, 1) is state
            assert told in operation(chat, 1).content

    run(work)


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), RuntimeError("\ud800")]
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_any_exception_of_a_tool_is_its_outcome_and_harms_nothing_else(error: BaseException, kind: str) -> None:
    if kind == "sync":

        @tool
        def fail() -> None:
            raise error
    else:

        @tool
        async def fail() -> None:
            raise error

    async def work() -> None:
        async with Conversation(Script(by_words), [fail, double]) as chat:
            assert type(error).__name__ in await chat.send("!fail").answer()
            assert state_of(chat, 1) is OperationState.FAILED
            assert await chat.send('!double {"number": 2}').answer() == "4"

    run(work)


def test_the_user_hears_of_a_failed_model_and_the_next_message_is_answered() -> None:
    replies: Any = iter([ModelError("overloaded"), ZeroDivisionError(), "fine"])

    async def work() -> None:
        async with Conversation(Script(lambda _: next(replies))) as chat:
            for problem in ("overloaded", "ZeroDivisionError"):
                end = await chat.send("hello").end()
                assert (end.outcome, problem in end.problem) == (TurnOutcome.FAILED, True)
                assert "sorry" in end.text
            assert await chat.send("hello").answer() == "fine"

    run(work)


def test_a_model_that_never_answers_is_given_up() -> None:
    class Mute(Script):
        async def stream(self, request: ModelRequest) -> Any:
            await Gate()
            yield TextDelta("never")

    async def work() -> None:
        async with Conversation(Mute(by_words), settings=ConversationSettings(model_timeout=0.05)) as chat:
            end = await chat.send("hello").end()
            assert end.outcome is TurnOutcome.FAILED
            assert "0.05 s" in end.problem

    run(work)


def test_a_stream_without_a_final_reply_counts_as_its_text() -> None:
    class Careless(Script):
        async def stream(self, request: ModelRequest) -> Any:
            yield TextDelta("only pieces")

    async def work() -> None:
        async with Conversation(Careless(by_words)) as chat:
            assert await chat.send("hello").answer() == "only pieces"
        async with Conversation(Script(lambda _: ModelReply())) as chat:
            assert "sorry" in await chat.send("hello").answer()

    run(work)


@pytest.mark.parametrize("text", ["", "  \n", "x" * 100_001, "\ud800", 3, None, b"x"])
def test_an_invalid_message_is_refused_at_once(text: Any) -> None:
    async def work() -> None:
        async with Conversation(Script(by_words)) as chat:
            with pytest.raises(InvalidText):
                chat.send(text)
            assert chat.transcript() == ()

    run(work)


@pytest.mark.parametrize("namespace", [(), "", ("a", ""), ("a", 3), None, 5])
def test_an_invalid_namespace_is_refused(namespace: Any) -> None:
    with Conversations(Script(by_words)) as host, pytest.raises(InvalidNamespace):
        host.open(namespace)


ODD = [
    ("a/b",), ("a", "b"), ("a\0b",), ('a"b', "'; DROP TABLE conversation_log; --"), ("%", "_"), ("ü",), ("u\u0308",),
    ("\ud800",), ("a#b",), ("..", "/etc"), (" ",), ("\n",), ("😀" * 500,), ("A",), ("a",), ('["a"]',),
]  # fmt: skip


def test_namespaces_with_odd_characters_stay_separate(tmp_path: Any) -> None:
    async def work() -> None:
        async with Conversations(Script(by_words), store=tmp_path / "x.db") as host:
            for number, namespace in enumerate(ODD):
                assert await host.open(namespace).send(f"message {number}").answer() == f"you said message {number}"
        async with Conversations(Script(by_words), store=tmp_path / "x.db") as host:
            for number, namespace in enumerate(ODD):
                said = [each.text for each in host.open(namespace).transcript()]
                assert said == [f"message {number}", f"you said message {number}"]
            assert sorted(host.namespaces()) == sorted(ODD)

    run(work)


def test_too_many_messages_are_refused_and_accepted_ones_are_answered() -> None:
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, settings=ConversationSettings(waiting=3)) as chat:
            reached, go = script.hold("turn 1")
            first = chat.send("one two")
            await reached
            streams = [chat.send(f"message {number}") for number in range(10)]
            refused = 0
            go.set()
            for stream in streams:
                try:
                    await stream.answer()
                except ConversationFull:
                    refused += 1
            assert await first.answer() == "you said one two"
            assert refused >= 1
            assert len(chat.transcript()) == 2 * (11 - refused)

    run(work)


def test_unknown_operations_and_outcomes_are_named() -> None:
    @tool(effect="read")
    def look() -> str:
        return "seen"

    async def work() -> None:
        async with Conversation(Script(by_words), tools=[look]) as chat:
            for name in ("op-7", 7, "nonsense", "op-" + "9" * 40, -1):
                with pytest.raises(UnknownOperation):
                    await chat.cancel(name)
            with pytest.raises(UnknownOperation):
                await chat.resolve(1, "failed")
            await chat.call("look", {})
            with pytest.raises(InvalidSetting, match="'maybe': need succeeded, failed, or retry"):
                await chat.resolve(1, "maybe")

    run(work)


def test_a_closed_conversation_raises_conversation_closed() -> None:
    async def work() -> None:
        chat = Conversation(Script(by_words))
        await chat.send("hello").answer()

        async def read() -> list[Any]:
            return [each async for each in chat.events()]

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        await chat.aclose()
        await chat.aclose()
        assert await reader == []
        with pytest.raises(ConversationClosed):
            await chat.send("hello").answer()
        with pytest.raises(ConversationClosed):
            await chat.cancel(1)

    run(work)


def test_a_host_that_was_closed_opens_nothing() -> None:
    host = Conversations(Script(by_words))
    host.close()
    with pytest.raises(ConversationClosed):
        host.open("x")


def test_a_conversation_that_was_opened_elsewhere_is_left_to_that(tmp_path: Any) -> None:
    async def work() -> None:
        options: dict[str, Any] = {"store": tmp_path / "x.db"}
        async with Conversation(Script(by_words), **options) as old:
            await old.ready()
            async with Conversation(Script(by_words), **options) as new:
                await new.send("first").answer()
                with pytest.raises((ConversationTaken, ConversationClosed)):
                    await old.send("second").answer()
                assert await new.send("third").answer() == "you said third"
                assert [each.text for each in new.transcript()] == ["first", "you said first", "third", "you said third"]

    run(work)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tools": [print]}, InvalidSetting),
        ({"tools": [double, tool(name="double")(lambda: None)]}, DefinitionError),
        ({"model": 3}, InvalidSetting),
        ({"settings": {"patience": 3}}, InvalidSetting),
        ({"runtime": 3}, InvalidSetting),
    ],
)
def test_a_host_with_invalid_settings_is_refused_and_leaves_nothing_behind(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Conversations(**{"model": Script(by_words), **options})


@pytest.mark.parametrize(
    "options", [{"patience": -1}, {"patience": float("nan")}, {"steps": 0}, {"history": 1.5}, {"instructions": 3}]
)
def test_invalid_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="ConversationSettings"):
        ConversationSettings(**options)


def test_a_tool_that_recurses_without_an_end_fails_alone() -> None:
    @tool
    def deep(number: int = 0) -> int:
        return deep(number + 1)  # type: ignore[no-any-return] # it never does

    async def work() -> None:
        async with Conversation(Script(by_words), [deep]) as chat:
            assert "RecursionError" in await chat.send("!deep").answer()

    assert sys.getrecursionlimit() < 100_000
    run(work)
