"""Teams: handoffs, assistants as tools of one another, and assistants as agents of the runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coterie import Agent, Request, Runtime, on
from coterie.conversation import (
    AskAssistant,
    AssistantAgent,
    AssistantRole,
    CancelAnswer,
    Conversation,
    Conversations,
    ConversationSettings,
    Delivered,
    DurableAssistant,
    HandedOver,
    OperationState,
    TurnOutcome,
    as_tool,
    handoff,
    tool,
)
from coterie.errors import DefinitionError, HandlerFailed, InvalidSetting
from coterie.meetings import MaxTurns, MeetingEnded, Meetings, RoundRobin
from coterie.models import Budget, ModelReply, ModelRequest, RuleModel, TextMessage
from tests.conversation.scripted import Gate, Script, by_words, calls, run

PATIENT = ConversationSettings(patience=15.0)


@tool(effect="read")
def bill() -> str:
    """Read the bill."""
    return "12 coins"


def speaking(request: ModelRequest) -> ModelReply | str:
    """Act on ``!tool {json}`` lines; answer all else with the first line of the instructions."""
    last = request.exchanges[-1]
    if isinstance(last, TextMessage) and "!" in last.text:
        return by_words(request)
    return f"{request.instructions.splitlines()[0]} heard {getattr(last, 'text', None) or getattr(last, 'content', '')}"


def team() -> list[AssistantRole]:
    billing = AssistantRole("billing", instructions="billing", tools=[bill, handoff("desk")], description="bills")
    return [AssistantRole("desk", instructions="desk", tools=[handoff(billing)])]


def test_from_a_handoff_on_the_other_assistant_speaks_with_its_own_tools() -> None:
    model = Script(speaking)

    async def main() -> None:
        async with Conversation(model, team=team()) as chat:
            events = [each async for each in chat.send('!handoff_to_billing {"reason": "a bill"}')]
            (over,) = [each for each in events if isinstance(each, HandedOver)]
            assert (over.source, over.target, over.reason) == ("desk", "billing", "a bill")
            assert "billing heard billing speaks from now on" in events[-1].text  # type: ignore[union-attr]
            assert await chat.send("!bill").answer() == "billing heard 12 coins"
            ended = await chat.send("!handoff_to_desk").end()
            assert ended.speaker == "desk"
            assert "there is no tool 'bill'" in await chat.send("!bill").answer()

    run(main)
    offered = [{each.name for each in request.tools} for request in model.requests]
    assert ("handoff_to_billing" in offered[0], "bill" in offered[0], "bill" in offered[1]) == (True, False, True)
    assert "- billing: bills" in model.requests[0].instructions


def test_who_speaks_survives_a_restart_and_a_changed_team(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"

    async def main() -> None:
        async with Conversation(Script(speaking), team=team(), store=path) as chat:
            await chat.send("!handoff_to_billing").end()
        async with Conversation(Script(speaking), team=team(), store=path) as chat:
            assert (await chat.send("hello").end()).speaker == "billing"
        async with Conversation(Script(speaking), team=[AssistantRole("desk", instructions="desk")], store=path) as chat:
            assert await chat.send("hello").answer() == "desk heard hello"

    run(main)


def test_a_question_that_is_handed_in_a_circle_stays_with_the_second() -> None:
    def passing_on(request: ModelRequest) -> ModelReply | str:
        mine = [each.name for each in request.tools if each.name.startswith("handoff")]
        tried = [each for each in request.exchanges if getattr(each, "failed", False)]
        return calls((mine[0], {})) if not tried else "I cannot say"

    async def main() -> None:
        async with Conversation(Script(passing_on), team=team()) as chat:
            ended = await chat.send("who?").end()
            assert (ended.text, ended.speaker, ended.outcome) == ("I cannot say", "billing", TurnOutcome.ANSWERED)

    run(main)


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        (lambda: [AssistantRole("a", tools=[handoff("nobody")])], "it hands over to 'nobody'"),
        (lambda: [AssistantRole("a", tools=[handoff("a")])], "hands over to itself"),
        (lambda: [AssistantRole("a"), AssistantRole("a")], "two assistants have that name"),
        (list, "at least one AssistantRole"),
        (lambda: ["a"], "AssistantRole objects"),
    ],
)
def test_a_team_that_cannot_be_is_refused(roles: Any, problem: str) -> None:
    with pytest.raises((DefinitionError, InvalidSetting), match=problem):
        Conversation(Script(by_words), team=roles())


def test_wrong_options_of_roles_are_refused() -> None:
    for make in (
        lambda: AssistantRole("no name"),
        lambda: AssistantRole("a", model="gpt"),  # type: ignore[arg-type]
        lambda: handoff(7),  # type: ignore[arg-type]
        lambda: as_tool("researcher"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidSetting):
            make()


def researcher(work: Any = bill, **options: Any) -> AssistantRole:
    return AssistantRole("researcher", instructions="researcher", tools=[work], **options)


def asking(request: ModelRequest) -> ModelReply | str:
    return by_words(request)


def test_an_assistant_asks_another_as_an_operation() -> None:
    async def main() -> None:
        async with Conversation(Script(asking), tools=[as_tool(researcher())], settings=PATIENT) as chat:
            assert await chat.send('!ask_researcher {"request": "!bill"}').answer() == "12 coins"
            (operation,) = chat.operations()
            assert (operation.tool, operation.effect, operation.line) == ("ask_researcher", "read", "bill")
            assert "there is no tool 'bill'" in await chat.send("!bill").answer()

    run(main)


def test_an_asked_assistant_waits_for_its_own_long_operations() -> None:
    @tool(effect="write", resources=["x"], long_running=True)
    def dig() -> str:
        """Dig."""
        return "gold"

    async def main() -> None:
        async with Conversation(Script(asking), tools=[as_tool(researcher(dig))], settings=PATIENT) as chat:
            assert "gold" in await chat.send('!ask_researcher {"request": "!dig"}').answer()

    run(main)


def test_a_cancel_of_the_operation_stops_the_other_assistant_and_its_operations() -> None:
    begun, stopped = Gate(), Gate()

    @tool(effect="write", resources=["x"])
    async def dig() -> str:
        """Dig."""
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return "gold"

    async def main() -> None:
        ask = as_tool(researcher(dig), long_running=True)
        async with Conversation(Script(asking), tools=[ask]) as chat:
            await chat.send('!ask_researcher {"request": "!dig"}').end()
            await begun
            assert await chat.cancel("op-1") is CancelAnswer.STOPPED
            await stopped

    run(main)


def test_an_asked_assistant_has_a_budget_of_its_own() -> None:
    async def main() -> None:
        ask = as_tool(researcher(), budget=Budget(requests=1))
        async with Conversation(Script(asking), tools=[ask], settings=PATIENT) as chat:
            answer = await chat.send('!ask_researcher {"request": "!bill"}').answer()
            assert "failed: researcher could not answer: BudgetExhausted" in answer
            assert await chat.send('!ask_researcher {"request": "hello"}').answer() == "you said hello"

    run(main)


def test_an_asked_assistant_goes_on_after_the_process_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    runs: list[int] = []
    begun = Gate()

    @tool(effect="read")
    async def dig() -> str:
        """Dig."""
        runs.append(len(runs))
        if len(runs) == 1:
            begun.set()
            await asyncio.sleep(60)
        return "gold"

    async def main() -> None:
        ask = as_tool(researcher(dig), long_running=True)
        async with Conversation(Script(asking), tools=[ask], store=path) as chat:
            await chat.send('!ask_researcher {"request": "!dig"}').end()
            await begun
        async with Conversation(Script(asking), tools=[ask], store=path) as chat:
            await chat.ready()
            await chat.settle()
            told = [each.text async for each in chat.events(after=0, follow=False) if isinstance(each, Delivered)]
            assert (len(told), "gold" in told[0]) == (1, True)

    run(main)


class Consult(Request[str]):
    question: str


class Colleague(Agent):
    @on
    async def consult(self, message: Consult) -> str:
        agent = self.context.runtime.find("researcher")
        assert agent is not None
        return (await agent.ask(AskAssistant(text=message.question, thread="mine", whole=True))).text


def test_other_agents_ask_an_assistant_that_is_an_agent() -> None:
    async def main() -> None:
        async with Runtime() as runtime, Conversations(Script(by_words), tools=[bill], runtime=runtime) as host:
            agent = runtime.spawn(AssistantAgent, host, name="researcher")
            assert await runtime.spawn(Colleague).ask(Consult(question="!bill")) == "12 coins"
            both = [agent.ask(AskAssistant(text="hi", thread=name)) for name in ("a", "b")]
            assert [(await each).text for each in both] == ["you said hi", "you said hi"]
            twice = [await agent.ask(AskAssistant(text=text, thread="c", id="1")) for text in ("one", "two")]
            assert [each.text for each in twice] == ["you said one", "you said one"]
            with pytest.raises(HandlerFailed, match="is empty"):
                await agent.ask(AskAssistant(text=" "))

    run(main)


def test_a_team_member_that_is_down_is_one_clear_outcome() -> None:
    async def main() -> None:
        async with Runtime() as runtime, Conversations(Script(by_words), runtime=runtime) as host:
            agent = runtime.spawn(AssistantAgent, host, name="researcher")
            async with Conversation(Script(asking), tools=[as_tool(agent)], settings=PATIENT) as chat:
                assert await chat.send('!ask_researcher {"request": "hi"}').answer() == "you said hi"
                await agent.stop()
                answer = await chat.send('!ask_researcher {"request": "hi"}').answer()
                assert "researcher is down" in answer
                assert chat.operations()[-1].state is OperationState.FAILED

    run(main)


def test_an_assistant_is_a_durable_agent(tmp_path: Path) -> None:
    async def once(text: str) -> str:
        async with (
            Runtime(store=tmp_path / "agents.db") as runtime,
            Conversations(Script(count), store=tmp_path / "chats.db", runtime=runtime) as host,
        ):
            runtime.provide(host)
            return (await runtime.entity(DurableAssistant, "42").ask(AskAssistant(text=text))).text

    def count(request: ModelRequest) -> str:
        return f"{len(request.exchanges)} messages"

    assert run(lambda: once("one")) == "1 messages"
    assert run(lambda: once("two")) == "3 messages"


class Discuss(Request[list[str]]):
    guest: str


class Chairman(Agent):
    def on_start(self) -> None:
        self.over = asyncio.Event()

    @on(interleave=True)
    async def discuss(self, message: Discuss) -> list[str]:
        meeting = await self.context.use(Meetings).call(
            "gulls", invite=[message.guest], floor=RoundRobin(), ending=MaxTurns(2), timeout=5
        )
        await meeting.say("what do they eat?")
        await self.over.wait()
        return [each.content for each in meeting.transcript]

    @on
    def ended(self, message: MeetingEnded) -> None:
        self.over.set()


def test_an_assistant_is_a_member_of_a_meeting() -> None:
    async def main() -> None:
        model = RuleModel(lambda request: f"answering {getattr(request.exchanges[-1], 'text', '')}")
        async with Runtime() as runtime, Conversations(model, runtime=runtime) as host:
            runtime.provide(Meetings())
            runtime.spawn(AssistantAgent, host, name="researcher")
            said = await runtime.spawn(Chairman, name="chair").ask(Discuss(guest="researcher"))
            assert said == ["what do they eat?", "answering chair: what do they eat?"]

    run(main)
