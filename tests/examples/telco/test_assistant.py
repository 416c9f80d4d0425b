"""The telephone company's tools under a model that does whatever it likes: what counts is held by code."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from examples.telco.carrier.company import Company
from examples.telco.carrier.tools import tools

from coterie.conversation import Conversation, Conversations, OperationState
from coterie.kernel import SystemClock
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall

ALICE, BOB = "+447700900101", "+447700900102"
CODE = "482913"
SEED = {
    "start_login", "verify_login", "get_current_package", "get_data_balance", "list_available_packages", "recommend_packages",
    "get_roaming_info", "list_addons", "set_data_alerts", "close_contract", "purchase_roaming_pass", "change_package",
    "get_billing_summary", "check_status",
}  # fmt: skip


def obedient(request: ModelRequest) -> ModelReply | str:
    """Call what the user writes as JSON: ``["tool", {…}]`` each; then repeat the results."""
    last = request.exchanges[-1]
    if isinstance(last, TextMessage):
        calls = [json.loads(line) for line in last.text.splitlines()]
        return ModelReply(calls=tuple(ToolCall(str(place), name, given) for place, (name, given) in enumerate(calls)))
    return "\n".join(getattr(each, "content", "") for each in request.exchanges[-1:])


def say(name: str, **arguments: Any) -> str:
    return json.dumps([name, arguments])


Work = Callable[[Conversations, Company], Coroutine[Any, Any, None]]


def run(tmp_path: Path, work: Work, *, time_scale: float = 0.0, model: Any = obedient) -> None:
    company = Company.open(
        tmp_path / "customers.db", clock=SystemClock(), send=lambda *_: None, time_scale=time_scale, fixed_code=CODE
    )
    try:
        with Conversations(
            RuleModel(model), tools(time_scale), store=tmp_path / "chats.db", provide=[company]
        ) as conversations:
            asyncio.run(work(conversations, company))
    finally:
        company.close()


async def log_in(chat: Conversation, number: str = ALICE) -> None:
    await chat.send(say("start_login", number=number)).end()
    assert "Logged in" in await chat.send(say("verify_login", number=number, code=CODE)).answer()


async def said(chat: Conversation, *calls: str) -> str:
    """Say something, wait for all that comes of it, and return that."""
    before = len(chat.transcript())
    await chat.send("\n".join(calls)).end()
    await chat.settle()
    return "\n".join(each.text for each in chat.transcript()[before + 1 :])


def test_the_fourteen_tools_are_those_of_the_seed_and_four_are_long(tmp_path: Path) -> None:
    offered: Sequence[Any] = []

    def look(request: ModelRequest) -> str:
        nonlocal offered
        offered = request.tools
        return "seen"

    async def work(conversations: Conversations, _: Company) -> None:
        await conversations.open("a").send("hello").end()

    run(tmp_path, work, model=look)
    names = {each.name for each in offered}
    assert names >= SEED
    assert names - SEED == {"cancel", "list"}
    long = {each.name: each.expected for each in tools(1.0) if each.long_running}
    assert long == {"close_contract": 10, "change_package": 10, "purchase_roaming_pass": 8, "get_billing_summary": 6}


PRIVATE = [
    say("get_current_package", number=BOB),
    say("get_data_balance", number=BOB),
    say("list_addons", number=BOB),
    say("get_billing_summary", number=BOB),
    say("set_data_alerts", number=BOB, percent=5),
    say("close_contract", number=BOB),
    say("change_package", number=BOB, package="max"),
    say("purchase_roaming_pass", number=BOB, country="Spain", roaming_pass="europe-7"),  # noqa: S106 - it opens networks
]


@pytest.mark.parametrize("call", PRIVATE, ids=lambda call: json.loads(call)[0])
def test_a_model_that_uses_anothers_number_gets_nowhere(tmp_path: Path, call: str) -> None:
    async def work(conversations: Conversations, company: Company) -> None:
        assert company.time_scale == 0
        alice, bob = conversations.open(("customer", "alice")), conversations.open(("customer", "bob"))
        assert "nobody is logged in" in await said(alice, call)
        await asyncio.gather(log_in(alice), log_in(bob, BOB))
        for _ in range(2):
            assert "is another's" in await said(alice, call)
        assert "is another's" not in await said(bob, call)

    run(tmp_path, work)


@pytest.mark.parametrize("call", [each.replace(BOB, ALICE) for each in PRIVATE[-3:]], ids=lambda call: json.loads(call)[0])
def test_an_irreversible_call_needs_a_message_of_the_customer_in_between(tmp_path: Path, call: str) -> None:
    async def work(conversations: Conversations, company: Company) -> None:
        chat = conversations.open("a")
        await log_in(chat)
        assert "Not done yet" in await said(chat, call, call)
        assert company.database.row("SELECT count(*) FROM telco_changes") == (0,)
        await said(chat, call)
        assert company.database.row("SELECT count(*) FROM telco_changes") == (1,)
        # And for each time anew.
        await said(chat, call)
        assert company.database.row("SELECT count(*) FROM telco_changes") == (1,)

    run(tmp_path, work)


def test_a_change_that_is_cancelled_leaves_everything_as_it_was(tmp_path: Path) -> None:
    call = say("change_package", number="07700 900101", package="Plus 60")

    async def work(conversations: Conversations, company: Company) -> None:
        chat = conversations.open("a")
        await log_in(chat)
        before = company.database.rows("SELECT * FROM telco_customers ORDER BY number")
        await chat.send(call).end()
        await chat.send(call).end()
        (operation,) = chat.operations(unfinished=True)
        await chat.cancel(operation)
        await chat.settle()
        ended = next(each for each in chat.operations() if each.number == operation.number)
        assert ended.state in (OperationState.CANCELLED, OperationState.COMPENSATED)
        assert company.database.rows("SELECT * FROM telco_customers ORDER BY number") == before

    run(tmp_path, work, time_scale=50)


def test_two_ways_of_writing_one_number_do_not_run_side_by_side(tmp_path: Path) -> None:
    ways = ("07700 900101", "+44 7700 900101")
    calls = [say("change_package", number=way, package=package) for way, package in zip(ways, ("max", "plus"), strict=True)]

    async def work(conversations: Conversations, _: Company) -> None:
        chat = conversations.open("a")
        await log_in(chat)
        await chat.send("\n".join(calls)).end()
        await chat.send("\n".join(calls)).end()
        states = [each.state for each in chat.operations(unfinished=True)]
        assert states == [OperationState.RUNNING, OperationState.QUEUED]
        for each in chat.operations(unfinished=True):
            await chat.cancel(each)

    run(tmp_path, work, time_scale=50)


@pytest.mark.parametrize(
    "call",
    [
        say("set_data_alerts", number=ALICE, percent="many"),
        say("set_data_alerts", number=ALICE, percent=1000),
        say("get_roaming_info", country="Atlantis"),
        say("recommend_packages", data_gb=-3),
        say("start_login", number="no number"),
        say("get_data_balance"),
        say("get_data_balance", number=ALICE, extra=1),
        say("no_such_tool"),
    ],
)
def test_a_wrong_call_gets_its_fault(tmp_path: Path, call: str) -> None:
    async def work(conversations: Conversations, _: Company) -> None:
        chat = conversations.open("a")
        await log_in(chat)
        answer = await said(chat, call)
        assert answer
        assert "Traceback" not in answer
        assert not any(each.state is OperationState.SUCCEEDED for each in chat.operations()[2:])

    run(tmp_path, work)
