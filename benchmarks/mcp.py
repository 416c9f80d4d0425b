"""What a call of a tool of an MCP server costs over the same call by the official SDK, over pipes to another process."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, quantile
from coterie.conversation import Conversation, McpServer, McpToolPolicy
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


async def measure() -> tuple[list[float], list[float]]:
    """Return the seconds of our calls and of the SDK's own, one after the other in turn."""
    from mcp import Client, StdioServerParameters, stdio_client  # noqa: PLC0415 - an extra

    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "server.py"
        program.write_text(SERVER)
        server = McpServer(
            "echo", command=sys.executable, arguments=[str(program)], policy=McpToolPolicy(effect="read"), connect_timeout=60
        )
        bare = Client(stdio_client(StdioServerParameters(command=sys.executable, args=[str(program)])))
        model = RuleModel(lambda _: "yes", name="rules")
        async with server, bare as client, Conversation(model, tools=[server], store=Path(folder) / "chats.db") as chat:
            for number in range(CALLS + 20):
                given = {"text": f"text {number}"}
                began = time.perf_counter()
                operation = await chat.outcome(await chat.call("echo_echo", given))
                between = time.perf_counter()
                await client.call_tool("echo", given)
                ended = time.perf_counter()
                assert operation.content == given["text"]
                if number >= 20:
                    ours.append(between - began)
                    theirs.append(ended - between)
    return ours, theirs


def all_rows() -> list[Row]:
    """Return the medians of both, and what ours costs more."""
    ours, theirs = asyncio.run(measure())
    mine, bare = quantile(ours, 0.5) * 1e3, quantile(theirs, 0.5) * 1e3
    return [
        Row(
            "a call of a tool of an MCP server, over the SDK's own call",
            f"{mine:.2f} ms, {mine - bare:.2f} ms more",
            "1 ms more",
            mine - bare <= 1.0,
        )
    ]
