"""An assistant as an MCP server, by the official client, in one process and over a program and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx2
import mcp_types
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim

from coterie.conversation import Conversations, ConversationSettings, ToolContext, tool
from coterie.interop import AccessToken
from coterie.interop.mcp.running import create_mcp_application
from coterie.interop.mcp.server import AssistantMcpServer
from coterie.interop.mcp.tasks import EXTENSION
from tests.conversation.scripted import Gate, Script, by_words, run

SETTINGS = ConversationSettings(patience=0.05)


@tool(effect="read")
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@tool(effect="read")
def fail() -> str:
    """Fail."""
    raise ValueError("no money")


@tool(effect="write", resources=["x"], confirm="Really pay?")
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


class Work:
    """A long tool whose end a test decides."""

    def __init__(self) -> None:
        self.end = Gate()

        @tool(effect="write", resources=["y"])
        async def work(context: ToolContext) -> str:
            """Work."""
            await context.progress(0.5, "half of it")
            await self.end
            return "worked"

        self.tool = work


class TaskHandle(mcp_types.Result):
    result_type: Literal["task"] = "task"
    task_id: str = ""
    status: str = ""


class Tasks(ClientExtension):
    """The client's side of the extension: it keeps the handle, and returns its id as the result."""

    identifier = EXTENSION

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskHandle, resolve=self._resolve)]

    async def _resolve(self, handle: TaskHandle, context: ClaimContext) -> mcp_types.CallToolResult:
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=f"task {handle.task_id}")])


@contextlib.asynccontextmanager
async def served(*tools: Any, **options: Any) -> AsyncIterator[Client]:
    async with Conversations(Script(by_words), tools=[add, fail, pay, *tools], settings=SETTINGS) as conversations:
        server = AssistantMcpServer(conversations, name="desk", user="ann").server
        async with Client(server, **options) as client:
            yield client


def text_of(result: mcp_types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, mcp_types.TextContent)
    return content.text


async def task(client: Client, method: str, id_: str, **more: Any) -> dict[str, Any]:
    class Anything(mcp_types.Result):
        model_config = mcp_types.Result.model_config | {"extra": "allow"}

    class Params(mcp_types.RequestParams):
        task_id: str
        input_responses: dict[str, Any] | None = None

    class Task(mcp_types.Request[Params, str]):
        method: str
        params: Params

    asked = Task(method=method, params=Params(task_id=id_, **more))
    found = await client.session.send_request(asked, Anything)
    return found.model_dump(by_alias=True, exclude_none=True)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_tools_of_an_assistant_are_listed_and_called_as_operations(mode: str) -> None:
    async def main() -> None:
        async with served(mode=mode) as client:
            listed = {each.name: each for each in (await client.list_tools()).tools}
            assert {"add", "fail", "pay", "ask_assistant", "list_operations", "cancel_operation"} == set(listed)
            assert listed["add"].input_schema["required"] == ["a", "b"]
            assert listed["add"].annotations is not None
            assert listed["add"].annotations.read_only_hint
            assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
            failed = await client.call_tool("fail")
            assert (failed.is_error, "no money" in text_of(failed)) == (True, True)
            wrong = await client.call_tool("add", {"a": "x"})
            assert (wrong.is_error, "the arguments do not fit" in text_of(wrong)) == (True, True)
            with pytest.raises(MCPError, match="there is no tool 'nothing'"):
                await client.call_tool("nothing")
            operations = json.loads(text_of(await client.call_tool("list_operations")))
            assert [(each["tool"], each["state"]) for each in operations] == [("add", "succeeded"), ("fail", "failed")]
            assert text_of(await client.call_tool("ask_assistant", {"message": "hello"})) == "you said hello"

    run(main)


def test_operations_and_transcript_are_resources() -> None:
    async def main() -> None:
        async with served() as client:
            await client.call_tool("ask_assistant", {"message": "hello"})
            uris = [str(each.uri) for each in (await client.list_resources()).resources]
            assert uris == ["coterie://operations", "coterie://transcript"]
            (content,) = (await client.read_resource("coterie://transcript")).contents
            assert "you said hello" in content.text  # type: ignore[union-attr]
            with pytest.raises(MCPError, match="there is no resource"):
                await client.read_resource("coterie://nothing")

    run(main)


def test_a_call_without_tasks_reports_progress_and_is_cancelled_with_its_request() -> None:
    work = Work()
    told = Gate()

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        assert (progress, total, message) == (0.5, 1.0, "half of it")
        told.set()

    async def main() -> None:
        async with served(work.tool, mode="legacy") as client:
            call = asyncio.create_task(client.call_tool("work", progress_callback=heard))
            await told
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            while "cancelled" not in text_of(await client.call_tool("list_operations")):
                await asyncio.sleep(0.005)

    run(main)


def test_a_long_operation_is_a_task_of_the_extension() -> None:
    work = Work()

    async def main() -> None:
        async with served(work.tool, extensions=[Tasks()]) as client:
            assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
            assert text_of(await client.call_tool("work")) == "task op-2"
            found = await task(client, "tasks/get", "op-2")
            assert (found["status"], found["statusMessage"]) == ("working", "half of it")
            work.end.set()
            while (found := await task(client, "tasks/get", "op-2"))["status"] == "working":
                await asyncio.sleep(0.005)
            assert (found["status"], found["result"]["content"][0]["text"]) == ("completed", "worked")
            with pytest.raises(MCPError, match="there is no task 'op-9'"):
                await task(client, "tasks/get", "op-9")

    run(main)


def test_a_task_is_cancelled() -> None:
    work = Work()

    async def main() -> None:
        async with served(work.tool, extensions=[Tasks()]) as client:
            await client.call_tool("work")
            await task(client, "tasks/cancel", "op-1")
            assert (await task(client, "tasks/get", "op-1"))["status"] == "cancelled"

    run(main)


@pytest.mark.parametrize(("agrees", "status"), [(True, "completed"), (False, "cancelled")])
def test_a_task_that_needs_approval_asks_its_client(agrees: bool, status: str) -> None:
    async def main() -> None:
        async with served(extensions=[Tasks()]) as client:
            assert text_of(await client.call_tool("pay", {"amount": 5})) == "task op-1"
            found = await task(client, "tasks/get", "op-1")
            assert found["status"] == "input_required"
            assert found["inputRequests"]["approval"]["params"]["message"] == "Really pay?"
            answer = {"approval": {"action": "accept", "content": {"approve": agrees}}}
            await task(client, "tasks/update", "op-1", input_responses=answer)
            while (found := await task(client, "tasks/get", "op-1"))["status"] == "working":
                await asyncio.sleep(0.005)
            assert found["status"] == status

    run(main)


class OlderClient:
    """A client of protocol 2025-11-25 with tasks, which the official client does not offer: JSON-RPC over HTTP."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._session: dict[str, str] = {}
        self._number = 0

    async def start(self) -> dict[str, Any]:
        """Do the handshake; return the capabilities of the server."""
        info = {"name": "older", "version": "1"}
        found = await self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
        await self._post({"method": "notifications/initialized"})
        return dict(found["capabilities"])

    async def ask(self, method: str, **given: Any) -> dict[str, Any]:
        self._number += 1
        reply = await self._post({"id": self._number, "method": method, "params": given})
        lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: {")] or [reply.text]
        answer = json.loads(lines[-1])
        if "error" in answer:
            raise LookupError(answer["error"]["message"])
        return dict(answer["result"])

    async def _post(self, message: dict[str, Any]) -> httpx2.Response:
        headers = {"Accept": "application/json, text/event-stream", **self._session}
        reply = await self._http.post("/mcp", json={"jsonrpc": "2.0", **message}, headers=headers)
        assert reply.status_code < 300, reply.text
        if session := reply.headers.get("mcp-session-id"):
            self._session = {"Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-11-25"}
        return reply


@contextlib.asynccontextmanager
async def older_client(*tools: Any) -> AsyncIterator[OlderClient]:
    async with Conversations(Script(by_words), tools=[add, pay, *tools], settings=SETTINGS) as conversations:
        application = create_mcp_application(conversations, AccessToken("c" * 20))
        async with (
            application.router.lifespan_context(application),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(application),
                base_url="http://127.0.0.1:8801",
                headers={"Authorization": f"Bearer {'c' * 20}"},
                timeout=30,
            ) as http,
        ):
            yield OlderClient(http)


def test_tasks_of_the_older_protocol_are_listed_and_have_results() -> None:
    work = Work()

    async def main() -> None:
        async with older_client(work.tool) as client:
            declared = await client.start()
            assert declared["tasks"] == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
            made = await client.ask("tools/call", name="work", arguments={}, task={})
            assert (made["task"]["taskId"], made["task"]["status"]) == ("op-1", "working")
            paid = await client.ask("tools/call", name="pay", arguments={"amount": 5}, task={})
            assert (paid["task"]["status"], paid["task"]["statusMessage"]) == ("input_required", "Really pay?")
            listed = (await client.ask("tasks/list"))["tasks"]
            assert [(each["taskId"], each["status"]) for each in listed] == [("op-1", "working"), ("op-2", "input_required")]
            # The result is waited for.
            waiting = asyncio.create_task(client.ask("tasks/result", taskId="op-1"))
            assert (await client.ask("tasks/get", taskId="op-1"))["status"] == "working"
            assert not waiting.done()
            work.end.set()
            result = await waiting
            assert (result["content"][0]["text"], result["isError"]) == ("worked", False)
            assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": "op-1"}
            assert (await client.ask("tasks/cancel", taskId="op-2"))["status"] == "cancelled"
            assert "cancelled" in (await client.ask("tasks/result", taskId="op-2"))["content"][0]["text"]
            for method in ("tasks/result", "tasks/get", "tasks/cancel"):
                with pytest.raises(LookupError, match="there is no task 'op-9'"):
                    await client.ask(method, taskId="op-9")
            with pytest.raises(LookupError, match="op-1 has ended"):
                await client.ask("tasks/cancel", taskId="op-1")
            for wrong in ({"name": "nothing"}, {"name": "add", "arguments": {"a": "x"}}):
                with pytest.raises(LookupError, match=r"no tool 'nothing'|do not fit"):
                    await client.ask("tools/call", **wrong, task={})

    run(main)


DESK = """
from coterie.conversation import tool
from coterie.models import RuleModel
from coterie.orchestrator import Assistant

@tool(effect="read")
def add(a: int, b: int) -> str:
    \"\"\"Add two numbers.\"\"\"
    print("a word of the tool's own")
    return str(a + b)

def open_desk(place):
    place.notice("the desk is open")
    return Assistant(tools=[add], model=RuleModel(lambda request: f"you said {request.exchanges[-1].text}"))
"""


def test_the_command_serves_an_assistant_over_standard_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text(DESK)
    path = tmp_path / "desk.toml"
    path.write_text('kind = "conversation"\nname = "desk"\n[assistant]\nprovider = "desk:open_desk"\n')
    program = "from coterie.cli.application import main; main()"
    arguments = ["-c", program, "mcp", str(path), "--user", "ann", "--out", str(tmp_path / "runs")]

    async def main() -> None:
        parameters = StdioServerParameters(command=sys.executable, args=arguments)
        async with Client(stdio_client(parameters)) as client:
            assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
            assert text_of(await client.call_tool("ask_assistant", {"message": "hello"})) == "you said hello"

    run(main, 60.0)
    # The client has closed the input, and the program has ended: another may open its files.
    with Conversations(Script(by_words), store=tmp_path / "runs" / "desk" / "conversations.db") as kept:
        assert kept.namespaces() == (("mcp", "ann", "default"),)
        assert [each.content for each in kept.open(("mcp", "ann", "default")).operations()] == ["5"]


def test_without_a_way_to_ask_the_user_a_call_that_needs_approval_is_not_done() -> None:
    async def main() -> None:
        async with served(mode="legacy") as client:
            result = await client.call_tool("pay", {"amount": 5})
            assert (result.is_error, "rejected" in text_of(result)) == (True, True)

    run(main)


def test_http_needs_the_token_and_keeps_users_apart() -> None:
    async def main() -> None:
        async with Conversations(Script(by_words), tools=[add], settings=SETTINGS) as conversations:
            tokens = {"ann": AccessToken("a" * 20), "ben": AccessToken("b" * 20)}
            application = create_mcp_application(conversations, AccessToken("c" * 20), users=tokens)
            async with application.router.lifespan_context(application):
                transport = httpx2.ASGITransport(application)
                async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8801") as plain:
                    refused = await plain.post("/mcp", json={})
                    assert refused.status_code == 401
                    evil = {"Authorization": f"Bearer {'c' * 20}", "Host": "evil.example"}
                    assert (await plain.post("/mcp", json={}, headers=evil)).status_code in (403, 421)
                names = [await _operations(application, secret) for secret in ("a" * 20, "b" * 20)]
                assert names == [["op-1"], ["op-1"]]
            assert sorted(conversations.namespaces()) == [("mcp", "ann", "default"), ("mcp", "ben", "default")]

    run(main)


async def _operations(application: Any, secret: str) -> list[str]:
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415 - the one use

    headers = {"Authorization": f"Bearer {secret}"}
    transport = httpx2.ASGITransport(application)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8801", headers=headers) as http,
        Client(streamable_http_client("http://127.0.0.1:8801/mcp", http_client=http)) as client,
    ):
        await client.call_tool("add", {"a": 1, "b": 1})
        return [each["id"] for each in json.loads(text_of(await client.call_tool("list_operations")))]
