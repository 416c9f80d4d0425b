"""Tools of MCP servers as tools of an assistant: the official client over a program, and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from coterie.conversation import (
    CancelAnswer,
    Conversation,
    ConversationSettings,
    McpServer,
    McpToolPolicy,
    OperationProgressed,
    OperationState,
    tool,
)
from coterie.errors import InvalidSetting, ToolServerUnavailable
from coterie.testing import eventually
from tests.conversation.scripted import Script, by_words, run

PROGRAM = Path(__file__).with_name("mcp_program.py")
READ = McpToolPolicy(effect="read")
ALL_READ = dict.fromkeys(("add", "steps", "fail", "pid", "noise", "cancelled"), READ)
PATIENT = ConversationSettings(patience=15.0)


def small(*arguments: str, **options: Any) -> McpServer:
    options.setdefault("policies", ALL_READ)
    return McpServer("small", command=sys.executable, arguments=[str(PROGRAM), *arguments], **options)


@contextlib.asynccontextmanager
async def talking(*arguments: str, **options: Any) -> AsyncIterator[tuple[McpServer, Conversation]]:
    async with (
        small(*arguments, **options) as server,
        Conversation(Script(by_words), tools=[server], settings=PATIENT) as chat,
    ):
        yield server, chat


def test_a_tool_of_a_server_is_called_and_its_arguments_are_checked_by_its_schema() -> None:
    async def main() -> None:
        async with talking() as (server, chat):
            assert server.connected
            assert await chat.send('!small_add {"a": 2, "b": 3}').answer() == "5"
            assert "'x' is not of type 'integer'" in await chat.send('!small_add {"a": "x", "b": 1}').answer()
            assert "is not available" not in await chat.send("!small_noise").answer()

    run(main)


def test_what_is_not_configured_is_a_write_that_touches_everything() -> None:
    with small(policies={"echo": McpToolPolicy(resources=("page {text}",), confirm=True)}) as server:
        tools = {each.name: each for each in server.tools()}
        assert (tools["small_add"].effect, tools["small_add"].resources({"a": 1, "b": 2})) == ("write", ("*",))
        assert tools["small_echo"].resources({"text": "7"}) == ("page 7",)
        assert tools["small_echo"].confirm is True
    with small(policies={}, trusted=True, prefix="") as server:
        assert {each.name: each.effect for each in server.tools()}["add"] == "read"


def test_progress_of_a_call_is_progress_of_its_operation() -> None:
    async def main() -> None:
        async with talking() as (_, chat):
            events = [each async for each in chat.send("!small_steps")]
            told = [(each.fraction, each.line) for each in events if isinstance(each, OperationProgressed)]
            assert told[-1] == (0.5, "step 2")

    run(main)


def test_a_call_that_the_server_refuses_has_failed_in_its_words() -> None:
    async def main() -> None:
        async with talking() as (_, chat):
            assert await chat.send("!small_fail").answer() == "op-1 small_fail failed: no money"
            assert chat.operations()[0].state is OperationState.FAILED

    run(main)


def test_a_server_that_dies_leaves_a_write_unknown_and_comes_back() -> None:
    async def main() -> None:
        async with talking() as (_, chat):
            before = await chat.send("!small_pid").answer()
            assert "it is unknown whether it took effect" in await chat.send("!small_die").answer()
            dead = chat.operations()[-1]
            assert dead.state is OperationState.UNKNOWN
            await chat.resolve(dead, "failed")
            assert await chat.send("!small_pid").answer() != before
            await chat.settle()
            assert [each.state for each in chat.operations()] == ["succeeded", "failed", "succeeded"]

    run(main)


def test_a_read_that_is_lost_with_its_server_is_sent_again() -> None:
    async def main() -> None:
        async with talking(policies={**ALL_READ, "die": READ}) as (_, chat):
            answer = await chat.send("!small_die").answer()
            assert "the connection to the server small broke" in answer  # three servers have died of it
            assert chat.operations()[0].state is OperationState.FAILED
            assert chat.operations()[0].attempt == 3

    run(main)


def test_an_answer_that_is_not_mcp_leaves_the_outcome_of_a_write_unknown() -> None:
    async def main() -> None:
        async with talking() as (_, chat):
            assert "answered nonsense" in await chat.send("!small_garble").answer()
            assert chat.operations()[0].state is OperationState.UNKNOWN

    run(main)


def test_a_server_that_never_answers_is_given_up() -> None:
    async def main() -> None:
        async with talking(policies={"hang": McpToolPolicy(idle_timeout=0.1), **ALL_READ}) as (_, chat):
            assert "it said nothing for 0.1 s" in await chat.send("!small_hang").answer()
            operation = chat.operations()[0]
            assert operation.state is OperationState.TIMED_OUT
            assert "may have done it" in operation.detail
            assert await chat.send('!small_add {"a": 1, "b": 1}').answer() == "2"

    run(main)


@pytest.mark.parametrize(
    ("policy", "answer", "state"),
    [
        (McpToolPolicy(long_running=True), CancelAnswer.TOO_LATE, OperationState.UNKNOWN),
        (McpToolPolicy(long_running=True, stops_cleanly=True), CancelAnswer.STOPPED, OperationState.CANCELLED),
        (McpToolPolicy(long_running=True, effect="read"), CancelAnswer.STOPPED, OperationState.CANCELLED),
    ],
)
def test_a_cancel_reaches_the_server_and_claims_no_more_than_is_known(
    policy: McpToolPolicy, answer: CancelAnswer, state: OperationState
) -> None:
    async def main() -> None:
        async with talking(policies={**ALL_READ, "hang": policy}) as (server, chat):
            await chat.send("!small_hang").end()
            while not server._connection._link.open_calls:
                await asyncio.sleep(0.001)
            assert await chat.cancel("op-1") is answer
            assert chat.operations()[0].state is state
            assert len(json.loads(await chat.send("!small_cancelled").answer())) == 1

    run(main)


def test_a_server_that_is_closed_while_it_is_given_up_leaves_no_program_behind(tmp_path: Path) -> None:
    told = tmp_path / "told to end"
    with small("mute", str(told), connect_timeout=0.3, required=False):
        # The program was told to end, does not, and will be killed.
        eventually(told.exists)
    gc.collect()
    assert not [child for child in psutil.Process().children() if str(told) in child.cmdline()]


def test_a_list_of_tools_that_changes_is_read_again() -> None:
    async def main() -> None:
        async with talking() as (server, chat):
            await chat.send("!small_change").end()
            while not any(each.name == "small_fresh" for each in server.tools()):
                await asyncio.sleep(0.001)
            assert {each.name: each.offered for each in server.tools()}["small_echo"] is False
            assert "there is no tool 'small_echo'" in await chat.send('!small_echo {"text": "x"}').answer()
            assert await chat.send("!small_fresh").answer() == "fresh indeed"

    run(main)


def test_the_value_of_a_secret_parameter_is_not_stored() -> None:
    async def main() -> None:
        policies = {"echo": McpToolPolicy(secrets=("text",))}
        async with talking(policies=policies) as (_, chat):
            answer = await chat.send('!small_echo {"text": "sesame", "context": "mine"}').answer()
            assert answer == '{"text": "[secret]", "context": "mine"}'
            assert chat.operations()[0].arguments["text"] == "[secret]"

    run(main)


def test_tools_that_cannot_be_used_are_left_out_and_named() -> None:
    with small("wrong", policies={"nowhere": READ}) as server:
        assert [each.name for each in server.tools()] == ["small_add"]
        problems = "\n".join(server.problems)
    for part in ("'broken'", "'whatever' is not valid", "no tool 'nowhere'"):
        assert part in problems


@pytest.mark.parametrize("arguments", [("mute",), ("once", "/nowhere")])
def test_a_server_that_does_not_connect_is_one_clear_error(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ToolServerUnavailable, match=r"the server small is not available: .*command works in a shell"):
        small(*arguments, connect_timeout=0.3).open()
    with pytest.raises(ToolServerUnavailable, match="No such file"):
        McpServer("lost", command="/no/such/program").open()


def test_an_optional_server_may_come_later(tmp_path: Path) -> None:
    async def main() -> None:
        flag = tmp_path / "flag"
        async with talking("once", str(flag), required=False, connect_timeout=0.5) as (server, chat):
            assert "there is no tool" in await chat.send('!small_add {"a": 2, "b": 3}').answer()
            flag.touch()
            while not server.connected:
                await asyncio.sleep(0.01)
            assert await chat.send('!small_add {"a": 2, "b": 3}').answer() == "5"

    run(main)


def test_a_tool_of_the_application_keeps_its_name() -> None:
    @tool(effect="read")
    def add(a: int, b: int) -> str:
        """Add here."""
        return f"here {a + b}"

    async def main() -> None:
        async with (
            small(prefix="") as server,
            Conversation(Script(by_words), tools=[add, server], settings=PATIENT) as chat,
        ):
            assert await chat.send('!add {"a": 2, "b": 3}').answer() == "here 5"
            assert await chat.send("!steps").answer() == "stepped"

    run(main)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"command": "x", "url": "http://x"},
        {"url": "ftp://x"},
        {"command": "x", "arguments": "one text"},
        {"command": "x", "connect_timeout": 0},
        {"command": "x", "policies": {"a": {"effect": "read"}}},
        {"command": "x", "name": "ä"},
    ],
)
def test_a_wrong_setting_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        McpServer(options.pop("name", "small"), **options)


def test_a_wrong_policy_is_refused() -> None:
    for options in ({"effect": "reads"}, {"scope": "world"}, {"resources": "one"}, {"secrets": ("",)}):
        with pytest.raises(InvalidSetting):
            McpToolPolicy(**options)
    with small(policies={"add": McpToolPolicy(resources=("{c}",))}) as server:
        assert "need names with parameters of the tool, such as {a}, {b}" in server.problems[0]
