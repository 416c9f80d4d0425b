"""Resources with a scope: operations of different conversations that share one exclude each other."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.conversation import Conversations, ConversationSettings, Effect, Operation, OperationState, ResourceScope, tool
from coterie.conversation.operations.arbiter import ResourceArbiter
from coterie.conversation.operations.machine import conflict
from coterie.errors import InvalidSetting

from .scripted import Gate, Script, by_words, run, state_of

SETTINGS = ConversationSettings(patience=0, grace=0, cancel_grace=0.2)
S = OperationState


def an_operation(number: int, *resources: str, effect: Effect = Effect.WRITE, scope: str = "user") -> Operation:
    return Operation(number=number, tool="t", arguments={}, effect=effect, resources=resources, scope=ResourceScope(scope))


class Desk:
    """An arbiter, and which conversations were woken."""

    def __init__(self) -> None:
        self.arbiter = ResourceArbiter()
        self.woken: list[str] = []

    def update(self, conversation: str, holding: list[Operation], ready: list[Operation], user: str = "bob") -> list[int]:
        found = self.arbiter.update(conversation, user, holding, ready, lambda: self.woken.append(conversation))
        return [each.number for each in found]


def test_resources_are_granted_in_the_order_in_which_they_were_asked_for() -> None:
    desk, one = Desk(), an_operation(1, "account")
    assert desk.update("a", [], [one]) == [1]
    assert desk.update("b", [], [one]) == []
    assert desk.update("c", [], [one]) == []
    assert desk.update("a", [], []) == []
    assert sorted(desk.woken) == ["b", "c"]
    assert desk.update("c", [], [one]) == []
    assert desk.update("b", [], [one]) == [1]
    desk.arbiter.leave("b")
    assert desk.update("c", [], [one]) == [1]


def test_reads_share_and_a_waiting_write_is_not_overtaken_by_them() -> None:
    desk, write = Desk(), an_operation(1, "account")
    read = an_operation(2, "account", effect=Effect.READ)
    assert desk.update("a", [], [read]) == [2]
    assert desk.update("b", [], [read]) == [2]
    assert desk.update("c", [], [write]) == []
    assert desk.update("d", [], [read]) == []
    desk.arbiter.leave("a")
    desk.arbiter.leave("b")
    assert desk.update("c", [], [write]) == [1]


@pytest.mark.parametrize(
    ("scope", "users", "excluded"),
    [
        ("user", ("bob", "bob"), True),
        ("user", ("bob", "ann"), False),
        ("user", ("", ""), False),
        ("conversation", ("bob", "bob"), False),
        ("all", ("bob", "ann"), True),
        ("all", ("", ""), True),
    ],
)
def test_a_scope_defines_the_excluded_users(scope: str, users: tuple[str, str], excluded: bool) -> None:
    desk, one = Desk(), an_operation(1, "*", scope=scope)
    assert desk.update("a", [], [one], users[0]) == [1]
    assert desk.update("b", [], [one], users[1]) == ([] if excluded else [1])


OPERATIONS = st.builds(
    an_operation,
    st.integers(1, 3),
    st.sampled_from(["x", "y", "*"]),
    effect=st.sampled_from(Effect),
    scope=st.sampled_from(["user", "all"]),
)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(OPERATIONS, max_size=2, unique_by=lambda one: one.number))))
def test_grants_never_conflict_and_every_waiting_operation_gets_its_turn(
    steps: list[tuple[str, list[Operation]]],
) -> None:
    desk = Desk()
    holding: dict[str, list[Operation]] = {each: [] for each in "abc"}
    ready: dict[str, list[Operation]] = {each: [] for each in "abc"}

    def look(name: str) -> None:
        granted = desk.update(name, holding[name], ready[name])
        started = [each for each in ready[name] if each.number in granted]
        holding[name] += started
        ready[name] = [each for each in ready[name] if each not in started]
        for mine in holding[name]:
            for other in "abc":
                if other != name:
                    assert not any(conflict(mine, each) and mine.scope == each.scope for each in holding[other])

    for name, wanted in steps:
        numbers = {each.number for each in holding[name]}
        # What a conversation does not want any more is withdrawn; what it holds now and then ends.
        ready[name] = [each for each in wanted if each.number not in numbers]
        holding[name] = holding[name][1:]
        look(name)
    for _ in range(20):
        for name in "abc":
            holding[name] = []
            look(name)
    assert not any(ready.values())


class Account:
    """A tool of two conversations that counts how many of its calls run at the same time."""

    def __init__(self, **options: Any) -> None:
        self.gate, self.both = Gate(), Gate()
        self.active = self.most = self.runs = 0
        self.began = Gate()

        @tool(resources=["account 42"], **options)
        async def withdraw() -> str:
            self.active += 1
            self.runs += 1
            self.most = max(self.most, self.active)
            self.began.set()
            if self.active == 2:
                self.both.set()
            await self.gate
            self.active -= 1
            return "withdrawn"

        self.tool = withdraw


def test_two_conversations_of_one_user_do_not_write_one_resource_at_once() -> None:
    account = Account()

    async def work() -> None:
        async with Conversations(Script(by_words), [account.tool], settings=SETTINGS) as host:
            one, two = host.open("tab 1", user="bob"), host.open("tab 2", user="bob")
            await one.send("!withdraw").answer()
            await account.began
            assert "waits in the queue" in await two.send("!withdraw").answer()
            assert (state_of(one, 1), state_of(two, 1)) == (S.RUNNING, S.QUEUED)
            account.gate.set()
            await asyncio.gather(one.settle(), two.settle())
            assert (state_of(one, 1), state_of(two, 1)) == (S.SUCCEEDED, S.SUCCEEDED)

    run(work)
    assert (account.most, account.runs) == (1, 2)


@pytest.mark.parametrize(("options", "users"), [({"scope": "conversation"}, ("bob", "bob")), ({}, ("bob", "ann"))])
def test_where_the_scope_is_smaller_both_run_at_once(options: dict[str, Any], users: tuple[str, str]) -> None:
    account = Account(**options)

    async def work() -> None:
        async with Conversations(Script(by_words), [account.tool], settings=SETTINGS) as host:
            one, two = host.open("tab 1", user=users[0]), host.open("tab 2", user=users[1])
            await asyncio.gather(one.send("!withdraw").answer(), two.send("!withdraw").answer())
            await account.both
            account.gate.set()
            await asyncio.gather(one.settle(), two.settle())

    run(work)
    assert account.most == 2


def test_a_conversation_that_closes_or_cancels_lets_others_go_on() -> None:
    account = Account()

    async def work() -> None:
        async with Conversations(Script(by_words), [account.tool], settings=SETTINGS) as host:
            one, two, three = (host.open(f"tab {number}", user="bob") for number in range(3))
            await one.send("!withdraw").answer()
            await account.began
            for chat in (two, three):
                await chat.send("!withdraw").answer()
            # The second waits in front of the third, and changes its mind.
            await two.cancel(1)
            account.gate.set()
            await one.aclose()
            await three.settle()
            assert state_of(three, 1) is S.SUCCEEDED

    run(work)


def test_a_scope_that_is_none_is_refused_where_the_tool_is_made() -> None:
    with pytest.raises(InvalidSetting, match="scope"):
        Account(scope="planet")
