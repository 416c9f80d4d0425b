"""Serve an assistant by MCP, without a token and on this machine only, for the protocol's conformance runner."""

import asyncio
import sys

import uvicorn

from coterie.conversation import Conversations, ToolContext, tool
from coterie.interop.mcp.server import AssistantMcpServer
from coterie.models import RuleModel


@tool(effect="read")
def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@tool(effect="read")
def test_error_handling() -> str:
    """Fail."""
    raise ValueError("This tool intentionally returns an error for testing")


@tool(effect="read")
async def test_tool_with_progress(context: ToolContext) -> str:
    """Report progress."""
    for fraction in (0.0, 0.5, 1.0):
        await context.progress(fraction, f"{fraction:.0%}")
        await asyncio.sleep(0.05)
    return "done"


def main(port: int) -> None:
    """Serve until the process is stopped."""
    tools = [test_simple_text, test_error_handling, test_tool_with_progress]
    with Conversations(RuleModel(lambda _: "hello"), tools=tools) as conversations:
        server = AssistantMcpServer(conversations, name="conformance").server
        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
