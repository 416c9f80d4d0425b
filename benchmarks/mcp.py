"""What a call of a tool of an MCP server costs over the same call by the official SDK, over pipes to another process."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, quantile
from coterie.conversation import Conversation, McpServer, McpToolPolicy, tool
from coterie.models import RuleModel

CALLS = 300
SERVER = """
import json, sys
TOOLS = [{"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}]
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "echo", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": TOOLS}
    elif message["method"] == "tools/call":
        result = {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}
    else:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "unknown"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
"""A server that takes no time, in plain Python."""


async def measure(*, durable: bool) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of our calls, of the SDK's own and of a tool that is a function, one after the other in turn."""
    from mcp import Client, StdioServerParameters, stdio_client  # noqa: PLC0415 - an extra

    @tool(effect="read")
    async def plain(text: str) -> str:
        """Return the text."""
        return text

    ours: list[float] = []
    theirs: list[float] = []
    plainly: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "server.py"
        program.write_text(SERVER)
        server = McpServer(
            "echo", command=sys.executable, arguments=[str(program)], policy=McpToolPolicy(effect="read"), connect_timeout=60
        )
        bare = Client(stdio_client(StdioServerParameters(command=sys.executable, args=[str(program)])))
        model = RuleModel(lambda _: "yes", name="rules")
        store = Path(folder) / "chats.db" if durable else None
        async with server, bare as client, Conversation(model, tools=[server, plain], store=store) as chat:
            for number in range(CALLS + 20):
                given = {"text": f"text {number}"}
                began = time.perf_counter()
                operation = await chat.outcome(await chat.call("echo_echo", given))
                between = time.perf_counter()
                await client.call_tool("echo", given)
                ended = time.perf_counter()
                await chat.outcome(await chat.call("plain", given))
                assert operation.content == given["text"]
                if number >= 20:
                    ours.append(between - began)
                    theirs.append(ended - between)
                    plainly.append(time.perf_counter() - ended)
    return ours, theirs, plainly


def all_rows() -> list[Row]:
    """Return the medians, and what ours costs more."""
    rows = []
    for where, durable in (("a ledger in memory", False), ("a ledger on the disk", True)):
        mine, bare, plain = (quantile(each, 0.5) * 1e3 for each in asyncio.run(measure(durable=durable)))
        figure = f"{mine:.2f} ms, {mine - bare:.2f} ms more; a tool that is a function {plain:.2f} ms"
        what = f"a call of a tool of an MCP server with {where}, over the SDK's own call"
        # On the disk, each call of any tool waits for its beginning and its end to be stored.
        rows.append(Row(what, figure) if durable else Row(what, figure, "1 ms more", mine - bare <= 1.0))
    return rows
