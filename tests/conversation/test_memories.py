"""Memory across conversations: recalled, written, scoped by user, and forgotten wholly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import (
    Conversations,
    ConversationSettings,
    RecallRecent,
    RecallRelevant,
    UserMemories,
    forget_user,
    tool,
)
from coterie.errors import InvalidSetting, ModelUnavailable
from coterie.memory import MemoryConfig, TieredMemory
from coterie.models import ModelGateway, ModelReply, ModelRequest, RuleModel
from coterie.models.recording.file import read
from coterie.storage import open_database
from tests.conversation.scripted import Script, by_words, run


def answer(request: ModelRequest) -> ModelReply | str | Exception:
    """Write down what was said, or act as `by_words`."""
    if request.step.startswith("memory"):
        said = getattr(request.exchanges[-1], "text", "")
        return "nothing" if "hello" in said else "- The user has a dog.\n- The user lives in Rome."
    return by_words(request)


@pytest.mark.parametrize("policy", [RecallRelevant(), RecallRecent(3)])
def test_what_one_conversation_has_stored_the_next_recalls_for_this_user_only(policy: Any) -> None:
    model = Script(answer)

    async def main() -> None:
        with TieredMemory() as memory:
            async with Conversations(model, memory=UserMemories(memory, recall=policy)) as host:
                first = host.open("one", user="ann")
                assert await first.send('!remember {"text": "My dog is called Rex."}').answer() == "Remembered."
                assert "Rex" in await first.send('!recall_memory {"question": "the dog"}').answer()
                await host.open("two", user="ann").send("what is the name of my dog?").answer()
                assert "- My dog is called Rex." in model.requests[-1].instructions
                await host.open("three", user="ben").send("what is the name of my dog?").answer()
                assert "Rex" not in model.requests[-1].instructions
                answered = await host.open("four").send('!remember {"text": "x"}').answer()
                assert "there is no memory" in answered

    run(main)


def test_at_the_end_of_a_conversation_a_model_writes_down_what_is_worth_to_remember() -> None:
    model = Script(answer)

    async def main() -> None:
        with TieredMemory() as memory:
            memories = UserMemories(memory)
            async with Conversations(model, memory=memories) as host:
                chat = host.open("one", user="ann")
                await chat.send("my dog and I live in Rome").answer()
                assert await chat.summarise() == 2
                assert await chat.summarise() == 0  # once for each turn
                assert {each.text for each in memories.of("ann").recent(9)} == {
                    "The user has a dog.",
                    "The user lives in Rome.",
                }
                await chat.send("hello").answer()
                assert await chat.summarise() == 0
                assert await host.open("two").summarise() == 0

    run(main)


def test_a_conversation_that_goes_to_rest_is_summarised() -> None:
    async def main() -> None:
        with TieredMemory() as memory:
            memories = UserMemories(memory)
            settings = ConversationSettings(idle_timeout=0.02)
            async with Conversations(Script(answer), memory=memories, settings=settings) as host:
                await host.open("one", user="ann").send("my dog and I live in Rome").answer()
                while len(memories.of("ann")) < 2:
                    await asyncio.sleep(0.005)

    run(main)


def test_a_summary_that_fails_loses_nothing() -> None:
    fails = [True]

    def failing(request: ModelRequest) -> ModelReply | str | Exception:
        if request.step.startswith("memory") and fails:
            fails.clear()
            return ModelUnavailable("script", "gone")
        return answer(request)

    async def main() -> None:
        with TieredMemory() as memory:
            async with Conversations(Script(failing), memory=UserMemories(memory)) as host:
                chat = host.open("one", user="ann")
                await chat.send("my dog and I live in Rome").answer()
                assert await chat.summarise() == 0
                assert await chat.summarise() == 2

    run(main)


def test_a_memory_that_fails_costs_no_answer() -> None:
    class Broken:
        def choose(self, memory: Any, question: str) -> list[str]:
            raise OSError("no disk")

    async def main() -> None:
        with TieredMemory() as memory:
            async with Conversations(Script(answer), memory=UserMemories(memory, recall=Broken())) as host:
                assert await host.open("one", user="ann").send("hi").answer() == "you said hi"

    run(main)


def test_a_user_is_forgotten_wholly_and_nobody_else(tmp_path: Path) -> None:
    @tool(effect="write", resources=["x"])
    def note(text: str) -> str:
        """Note a text."""
        return f"noted {text}"

    async def main() -> None:
        config = MemoryConfig(path=tmp_path / "memory.db")
        recording = tmp_path / "recording.jsonl"
        with TieredMemory(config) as memory, ModelGateway(RuleModel(echo), record=recording) as model:
            async with Conversations(model, [note], store=tmp_path / "chats.db", memory=UserMemories(memory)) as host:
                for user in ("ann", "ben"):
                    chat = host.open(("desk", f"{user}-chat"), user=user)
                    await chat.send(f"the secret of {user}").answer()
                    await chat.call("note", {"text": f"told by {user}"})
                    await chat.call("remember", {"text": f"{user} likes tea"})
                    await chat.settle()
                report = await host.forget("ann")
                assert (report.conversations, report.memories) == ((("desk", "ann-chat"),), 1)
                assert host.namespaces() == (("desk", "ben-chat"),)
                again = host.open(("desk", "ann-chat"), user="ann")
                await again.ready()
                assert (again.transcript(), again.operations()) == ((), ())
                assert len(host.open(("desk", "ben-chat"), user="ben").operations()) == 2
        with open_database(tmp_path / "chats.db") as database:
            assert forget_user(database, "ann", recordings=[recording]).recordings == 1
        kept = {each.agent for each in read(recording).values()}
        assert kept == {"desk/ben-chat"}
        for path in (tmp_path / "chats.db", tmp_path / "memory.db", recording):
            assert b"secret of ann" not in path.read_bytes()
            assert b"ann likes tea" not in path.read_bytes()
        assert b"secret of ben" in (tmp_path / "chats.db").read_bytes()

    run(main)


def echo(request: ModelRequest) -> str:
    """Repeat what was said."""
    return f"you said {getattr(request.exchanges[-1], 'text', '')}"


def test_wrong_settings_are_refused() -> None:
    with TieredMemory() as memory:
        for make in (
            lambda: UserMemories("memory.db"),  # type: ignore[arg-type]
            lambda: UserMemories(memory, summarise="yes"),  # type: ignore[arg-type]
            lambda: RecallRelevant(0),
            lambda: RecallRecent(-1),
            lambda: Conversations(Script(answer), memory=memory),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidSetting):
                make()
