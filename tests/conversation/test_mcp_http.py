"""Tools of an MCP server over streamable HTTP: a real process, which is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from coterie.conversation import Conversation, McpServer, McpToolPolicy, OperationProgressed, OperationState
from coterie.errors import ToolServerUnavailable
from tests.conversation.scripted import Script, by_words, run
from tests.conversation.test_mcp_tools import ALL_READ, PATIENT, PROGRAM, READ


class HttpServer:
    """The small server as a process with a port of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(PROGRAM), "http", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        self.port = int(self.line())

    def line(self) -> str:
        """Wait for a line that it writes."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def small() -> Iterator[HttpServer]:
    server = HttpServer()
    yield server
    server.kill()


def connected(small: HttpServer, **options: Any) -> McpServer:
    options = {"headers": {"Authorization": "Bearer sesame"}, **options}
    return McpServer("small", url=f"http://127.0.0.1:{small.port}/mcp", **{"policies": ALL_READ, **options})


@contextlib.asynccontextmanager
async def talking(small: HttpServer, **options: Any) -> AsyncIterator[tuple[McpServer, Conversation]]:
    async with (
        connected(small, **options) as server,
        Conversation(Script(by_words), tools=[server], settings=PATIENT) as chat,
    ):
        yield server, chat


def test_calls_progress_and_errors_over_http(small: HttpServer) -> None:
    async def main() -> None:
        async with talking(small) as (_, chat):
            assert await chat.send('!small_add {"a": 2, "b": 3}').answer() == "5"
            events = [each async for each in chat.send("!small_steps")]
            assert [each.line for each in events if isinstance(each, OperationProgressed)][-1] == "step 2"
            assert "no money" in await chat.send("!small_fail").answer()

    run(main)


def test_after_a_restart_the_next_call_goes_to_the_new_process(small: HttpServer) -> None:
    async def main() -> None:
        async with talking(small) as (_, chat):
            before = await chat.send("!small_pid").answer()
            small.kill()
            small.start()
            # The new process does not know the session: nothing was done, so even a write is sent again.
            assert await chat.send('!small_echo {"text": "x"}').answer() == '{"text": "x"}'
            assert await chat.send("!small_pid").answer() != before
            assert {each.state for each in chat.operations()} == {OperationState.SUCCEEDED}

    run(main)


def test_a_server_that_is_killed_in_a_call_leaves_a_write_unknown_and_comes_back(small: HttpServer) -> None:
    async def main() -> None:
        async with talking(small) as (_, chat):
            answer = asyncio.create_task(chat.send("!small_hang").answer())
            assert await asyncio.to_thread(small.line) == "it hangs\n"
            small.kill()
            assert "it is unknown whether it took effect" in await answer
            assert chat.operations()[0].state is OperationState.UNKNOWN
            await chat.resolve("op-1", "failed")
            small.start()
            assert await chat.send('!small_add {"a": 2, "b": 3}').answer() == "5"

    run(main)


def test_while_a_server_is_away_a_call_fails_and_nothing_was_sent(small: HttpServer) -> None:
    async def main() -> None:
        async with talking(small, connect_timeout=0.5, policies={"echo": McpToolPolicy()}) as (_, chat):
            small.kill()
            assert "is not available" in await chat.send('!small_echo {"text": "x"}').answer()
            assert chat.operations()[0].state is OperationState.FAILED
            small.start()
            for _ in range(50):
                if await chat.send('!small_echo {"text": "x"}').answer() == '{"text": "x"}':
                    return
            raise AssertionError("it never came back")

    run(main)


def test_a_wrong_token_is_one_clear_error(small: HttpServer) -> None:
    with pytest.raises(ToolServerUnavailable, match=r"the server small is not available: .*the headers are right"):
        connected(small, headers={"Authorization": "Bearer wrong"}, policies={"add": READ}).open()
