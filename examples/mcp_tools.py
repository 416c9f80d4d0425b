"""An assistant uses the tools of another program: an MCP server, which this file is too, when it is started with `serve`."""

import asyncio
import sys

from coterie.conversation import Conversation, McpServer, McpToolPolicy, OperationProgressed
from coterie.models import ModelReply, ModelRequest, RuleModel, ToolCall, ToolResult


def serve() -> None:
    """Serve two tools, by the official library. Any other MCP server does as well."""
    from mcp.server.mcpserver import Context, MCPServer  # noqa: PLC0415 - only the server needs it

    server = MCPServer("library")

    @server.tool()
    def find_book(title: str) -> str:
        """Find a book."""
        return f"{title} is on shelf 7."

    @server.tool()
    async def bind_book(title: str, context: Context) -> str:
        """Bind a book anew."""
        for step, line in enumerate(["cutting", "sewing", "gluing"]):
            await context.report_progress(step, 3, line)
            await asyncio.sleep(0.05)
        return f"{title} is bound."

    server.run("stdio")


def answer(request: ModelRequest) -> ModelReply | str:
    """Stand in for a language model: understand two sentences."""
    last = request.exchanges[-1]
    if isinstance(last, ToolResult):
        return last.content
    verb, _, title = getattr(last, "text", "").partition(" ")
    return ModelReply(calls=(ToolCall("1", f"library_{verb}_book", {"title": title}),))


async def main() -> None:
    """Talk."""
    library = McpServer(
        "library",
        command=sys.executable,
        arguments=[__file__, "serve"],
        policies={
            "find_book": McpToolPolicy(effect="read"),
            "bind_book": McpToolPolicy(resources=("book {title}",), patience=30),
        },
        connect_timeout=60,
    )
    async with library, Conversation(RuleModel(answer), tools=[library]) as chat:
        print("librarian:", await chat.send("find Emma").answer())
        async for event in chat.send("bind Emma"):
            if isinstance(event, OperationProgressed):
                print(f"           {event.fraction:.0%} {event.line}")
        print("librarian:", chat.transcript()[-1].text)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        asyncio.run(main())
