"""Secret arguments reach the tool and nothing else."""

import contextlib
import dataclasses
import json
import re
import sqlite3
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NewType

import pytest
from pydantic import BaseModel, SecretStr
from typing_extensions import TypedDict

from coterie.conversation import (
    Conversation,
    Finding,
    OperationState,
    Secret,
    TextWritten,
    ToolCalled,
    ToolContext,
    TurnBegan,
    tool,
)
from coterie.models import TextMessage

from .scripted import Gate, Script, all_events, by_words, kill, operation, run

CODE = "987654"


class Vault:
    def __init__(self) -> None:
        self.got: list[Any] = []
        self.gate = Gate()

    @property
    def tools(self) -> list[Any]:
        @tool(resources=["login"])
        def login(user: str, code: Annotated[str, Secret], pin: SecretStr | None = None) -> str:
            self.got.append((user, code, pin.get_secret_value() if pin is not None else None))
            return "welcome"

        @tool(resources=["login"], long_running=True)
        async def wait(code: Annotated[str, Secret]) -> str:
            await self.gate
            self.got.append(code)
            return "waited"

        @tool(resources=["money"], confirm=True)
        def pay(amount: int, code: Annotated[str, Secret()]) -> str:
            self.got.append((amount, code))
            return "paid"

        return [login, wait, pay]


def dumped(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "\n".join(str(row) for name in tables for row in database.execute(f"SELECT * FROM {name}"))  # noqa: S608 - ours


def test_a_secret_reaches_the_tool_and_is_in_no_log_no_event_and_no_later_prompt(tmp_path: Path) -> None:
    vault, script = Vault(), Script(by_words)

    async def work() -> None:
        async with Conversation(script, vault.tools, store=tmp_path / "x.db") as chat:
            assert await chat.send(f'!login {{"user": "ann", "code": "{CODE}", "pin": "4711"}}').answer() == "welcome"
            assert vault.got == [("ann", CODE, "4711")]
            await chat.send("hello").answer()
            events = await all_events(chat)
            assert next(each for each in events if isinstance(each, ToolCalled)).arguments["code"] == "[secret]"
            assert '"user": "ann", "code": "[secret]"' in next(each.text for each in events if isinstance(each, TurnBegan))
            shown = f"{events}{chat.transcript()}{chat.operations()}{chat.conversations.metrics()}"
            assert CODE not in shown
            # Times have many digits, and four of them are the pin now and then.
            assert "4711" not in re.sub(r"\d+\.\d+", "", shown)

    run(work)
    assert [each.step for each in script.requests if CODE in str(each) or "4711" in str(each)] == ["turn 1/main/1"]
    assert CODE not in dumped(tmp_path / "x.db")
    assert "ann" in dumped(tmp_path / "x.db")


def test_a_secret_that_was_requested_waits_in_memory_and_reaches_the_tool(tmp_path: Path) -> None:
    vault = Vault()

    async def work() -> None:
        async with Conversation(Script(by_words), vault.tools, store=tmp_path / "x.db") as chat:
            await chat.send('!wait {"code": "111222"}').answer()
            await chat.send(f'!request {{"tool": "wait", "arguments": {{"code": "{CODE}"}}}}').answer()
            assert CODE not in dumped(tmp_path / "x.db")
            vault.gate.set()
            await chat.settle()
            assert vault.got == ["111222", CODE]

    run(work)
    assert CODE not in dumped(tmp_path / "x.db")


def test_a_call_with_a_secret_can_be_confirmed(tmp_path: Path) -> None:
    vault = Vault()

    async def work() -> None:
        async with Conversation(Script(by_words), vault.tools, store=tmp_path / "x.db") as chat:
            assert "must agree first" in await chat.send(f'!pay {{"amount": 5, "code": "{CODE}"}}').answer()
            assert await chat.send(f'!pay {{"amount": 5, "code": "{CODE}"}}').answer() == "paid"
            assert vault.got == [(5, CODE)]

    run(work)
    assert CODE not in dumped(tmp_path / "x.db")


def test_a_mask_is_no_secret() -> None:
    vault = Vault()

    async def work() -> None:
        async with Conversation(Script(by_words), vault.tools) as chat:
            answer = await chat.send('!login {"user": "ann", "code": "[secret]"}').answer()
            assert "code: it is a secret and was not kept; ask the user for it again" in answer
            assert not vault.got

    run(work)


def test_a_queued_operation_without_its_secret_fails_after_a_restart_with_the_reason(tmp_path: Path) -> None:
    async def work() -> None:
        first, second = Vault(), Vault()
        async with Conversation(Script(by_words), first.tools, store=tmp_path / "x.db") as chat:
            await chat.send('!wait {"code": "111222"}').answer()
            await chat.send(f'!request {{"tool": "wait", "arguments": {{"code": "{CODE}"}}}}').answer()
            await kill(chat)
        async with Conversation(Script(by_words), second.tools, store=tmp_path / "x.db") as chat:
            await chat.resolve(1, "failed")
            await chat.settle()
            assert operation(chat, 2).state is OperationState.FAILED
            assert "it has to be asked for again" in chat.transcript()[-1].text
            assert not second.got

    run(work)


def test_a_check_after_a_crash_is_given_none_for_a_secret(tmp_path: Path) -> None:
    asked: list[Any] = []

    def check(user: str, code: str | None) -> Finding:
        asked.append((user, code))
        return Finding.done("it is known")

    gate = Gate()

    @tool(check=check, long_running=True)
    async def enter(user: str, code: Annotated[str, Secret]) -> None:
        del user, code
        await gate

    async def work() -> None:
        async with Conversation(Script(by_words), [enter], store=tmp_path / "x.db") as chat:
            await chat.send(f'!enter {{"user": "ann", "code": "{CODE}"}}').answer()
        async with Conversation(Script(by_words), [enter], store=tmp_path / "x.db") as chat:
            await chat.settle()
            assert operation(chat, 1).content == "it is known"
            assert asked == [("ann", None)]

    run(work)


def test_a_secret_within_a_model_or_a_choice_hides_the_whole_argument() -> None:
    class Card(BaseModel):
        number: Annotated[str, Secret]

    @tool
    def charge(card: Card, other: list[Annotated[str, Secret]] | None = None, amount: int = 1) -> None:
        """Charge it."""

    assert charge.arguments.secrets == {"card", "other"}
    assert charge.arguments.check({"card": {"number": "4"}})[1] == {"card": "[secret]", "other": None, "amount": 1}
    assert charge.arguments.schema["properties"]["card"]["writeOnly"] is True
    with pytest.raises(ValueError, match="secret"):
        charge.arguments.check({"card": "[secret]"})


@dataclasses.dataclass
class Login:
    user: str
    code: Annotated[str, Secret]


class Typed(TypedDict):
    code: Annotated[str, Secret]


class Named(NamedTuple):
    code: Annotated[str, Secret]


Code = NewType("Code", SecretStr)


@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (Login, {"user": "anna", "code": CODE}),
        (Typed, {"code": CODE}),
        (Named, [CODE]),
        (list[Login], [{"user": "anna", "code": CODE}]),
        (Annotated[str, Secret] | None, CODE),
        (Code, CODE),
    ],
)
def test_a_secret_inside_of_another_type_is_secret(hint: Any, given: Any, tmp_path: Path) -> None:
    got: list[Any] = []

    def log_in(code: Any) -> str:
        got.append(code)
        return f"{CODE} is right"

    log_in.__annotations__["code"] = hint
    made = tool(log_in)

    async def work() -> None:
        async with Conversation(Script(by_words), [made], store=tmp_path / "x.db") as chat:
            assert await chat.send(f"!log_in {json.dumps({'code': given})}").answer() == "[secret] is right"

    run(work)
    assert CODE in repr(got) or got[0].get_secret_value() == CODE
    assert CODE not in dumped(tmp_path / "x.db")


def test_a_secret_is_in_no_name_of_a_resource_and_in_no_idempotency_key(tmp_path: Path) -> None:
    keys: list[str] = []

    @tool(resources=lambda code: [f"session{code}", code], idempotency_key=lambda code: f"login-{code}")
    def log_in(context: ToolContext, code: Annotated[str, Secret]) -> str:
        keys.append(context.idempotency_key)
        return "welcome"

    async def work() -> None:
        async with Conversation(Script(by_words), [log_in], store=tmp_path / "x.db") as chat:
            for code in (CODE, "123456", CODE):
                await chat.send(f'!log_in {{"code": "{code}"}}').answer()
            assert {each.resources for each in chat.operations()} == {("session[secret]", "[secret]")}

    run(work)
    # The third call is the first one again.
    assert len(set(keys)) == len(keys) == 2
    assert not any(code in repr(keys) + dumped(tmp_path / "x.db") for code in (CODE, "123456"))


def test_a_secret_is_masked_in_earlier_answers_and_in_later_messages(tmp_path: Path) -> None:
    vault, script = Vault(), Script(by_words)

    async def work() -> None:
        async with Conversation(script, vault.tools, store=tmp_path / "x.db") as chat:
            assert CODE in await chat.send(f"my code is {CODE}").answer()
            await chat.send(f'!login {{"user": "ann", "code": "{CODE}"}}').answer()
            # The model may need it for another call in this turn.
            await chat.send(f"I said {CODE[:3]} {CODE[3:]}, it was {CODE}!").answer()
            assert [each.text for each in script.requests[-1].exchanges if isinstance(each, TextMessage)][-1].count(CODE) == 1
            await chat.send("hello").answer()
            said = [each.text for each in chat.transcript()]
            events = await all_events(chat)
        assert said[-4] == "I said [secret], it was [secret]!"
        assert CODE not in repr(said) + repr(script.requests[-1]) + dumped(tmp_path / "x.db")
        assert CODE not in repr([each for each in events if not isinstance(each, TextWritten)])

    run(work)
