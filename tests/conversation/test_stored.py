"""Stored conversations are read without their program, answered, and forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.conversation import Conversation, ConversationSettings, OperationState, StoredConversations, tool
from coterie.errors import InvalidSetting, StorageError, TransitionRefused, UnknownOperation

from .scripted import Gate, Script, by_words, kill, run

SETTINGS = ConversationSettings(patience=0.01, grace=0.01)


class Shop:
    """A store of one conversation with two payments that await approval, and a shipment that a crash interrupted."""

    def __init__(self, place: Path) -> None:
        self.file = place / "chat.db"
        self.paid: list[int] = []
        self.begun = Gate()

        @tool(confirm="Really pay?", resources=["money"], approver=lambda person: person != "eve")
        def pay(amount: int) -> str:
            self.paid.append(amount)
            return f"{amount} paid"

        @tool(effect="write", resources=["van"], long_running=True)
        async def ship(to: str) -> str:
            self.begun.set()
            await Gate()
            return to

        self.tools = [pay, ship]

    def chat(self) -> Conversation:
        return Conversation(
            Script(by_words), self.tools, store=self.file, namespace=("customer", "ann"), user="änn", settings=SETTINGS
        )


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)

    async def work() -> None:
        chat = shop.chat()
        for amount in (5, 7):
            await chat.send(f'!pay {{"amount": {amount}}}').answer()
        await chat.send('!ship {"to": "Rome"}').answer()
        await shop.begun
        with StoredConversations(shop.file) as stored:
            # A program that has it open is not disturbed, and what it has committed is seen.
            assert [each.tool for each in stored.stored_operations(("customer", "ann"))] == ["pay", "pay", "ship"]
        await kill(chat)
        chat.close()

    run(work)
    return shop


def test_a_stored_conversation_is_read_and_its_answers_are_applied_when_it_is_opened(shop: Shop) -> None:
    name = ("customer", "ann")
    with StoredConversations(shop.file) as stored:
        assert stored.namespaces() == (name,)
        assert stored.user_of(name) == "änn"
        assert len(stored.log(name)) >= 6
        assert stored.prompt(name, 1)
        stored.approve(name, "op-1")
        stored.reject(name, "op-2", "too dear", person="bob")
        stored.resolve(name, 3, "succeeded", "the van is there")
        assert [each.action for each in stored.answers(name)] == ["approve", "reject", "resolve"]
        for wrong in ("op-9", "luck"):
            with pytest.raises(UnknownOperation):
                stored.approve(name, wrong)
        with pytest.raises(TransitionRefused, match="running"):
            stored.approve(name, 3)
        with pytest.raises(InvalidSetting, match="succeeded, failed, or retry"):
            stored.resolve(name, 3, "luck")

    async def work() -> list[tuple[OperationState, str]]:
        async with shop.chat() as chat:
            await chat.settle()
            return [(each.state, each.detail) for each in chat.operations()]

    states = run(work)
    assert shop.paid == [5]
    assert [state for state, _ in states] == [OperationState.SUCCEEDED, OperationState.CANCELLED, OperationState.SUCCEEDED]
    assert "rejected by bob: too dear" in states[1][1]
    with StoredConversations(shop.file) as stored:
        assert stored.answers(name) == ()


def test_a_stored_conversation_over_postgres_is_read_answered_and_forgotten(postgres_url: str) -> None:
    @tool(confirm="Really pay?")
    def pay(amount: int) -> str:
        return f"{amount} paid"

    async def work() -> list[OperationState]:
        settings = ConversationSettings(stored_requests=10)
        async with Conversation(Script(by_words), [pay], store=postgres_url, user="änn", settings=settings) as chat:
            await chat.send('!pay {"amount": 5}').answer()
        with StoredConversations(postgres_url) as stored:
            assert stored.user_of("default") == "änn"
            assert len(stored.requests("default")) == 2
            stored.reject("default", 1)
            assert [each.action for each in stored.answers("default")] == ["reject"]
        async with Conversation(Script(by_words), [pay], store=postgres_url, settings=settings) as chat:
            await chat.settle()
            states = [each.state for each in chat.operations()]
        with StoredConversations(postgres_url) as stored:
            assert stored.forget("default").conversations == (("default",),)
            assert stored.requests("default") == ()
        return states

    assert run(work) == [OperationState.CANCELLED]


def test_an_answer_that_the_tool_forbids_changes_nothing(shop: Shop) -> None:
    name = ("customer", "ann")
    with StoredConversations(shop.file) as stored:
        stored.approve(name, "op-1", person="eve")
        stored.cancel(name, "op-2")

    async def work() -> list[OperationState]:
        async with shop.chat() as chat:
            await chat.settle()
            return [each.state for each in chat.operations()][:2]

    assert sorted(run(work)) == [OperationState.AWAITING_APPROVAL, OperationState.CANCELLED]
    assert shop.paid == []


def test_a_stored_conversation_is_forgotten_alone(shop: Shop) -> None:
    with StoredConversations(shop.file) as stored:
        assert stored.forget("nobody").conversations == ()
        assert stored.forget(("customer", "ann")).conversations == (("customer", "ann"),)
        assert stored.namespaces() == ()
        assert stored.stored_operations(("customer", "ann")) == ()


def test_a_file_that_is_not_there_or_no_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="the file of a conversation"):
        StoredConversations(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("this is no database, but a text that is longer than a header of SQLite " * 20)
    with pytest.raises(StorageError):
        StoredConversations(tmp_path / "text.db")
