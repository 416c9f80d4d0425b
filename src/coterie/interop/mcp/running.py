"""Run the MCP server of an assistant: over standard input and output, or over streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace

from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from coterie.conversation import Conversations
from coterie.interop.access import TokenAuthMiddleware
from coterie.interop.mcp.server import AssistantMcpServer, ResourceSource
from coterie.interop.options import ServingOptions
from coterie.kernel import SystemClock
from coterie.kernel.access import AccessToken
from coterie.models.gateway.loop import EventLoopThread


def serve_stdio(assistant: AssistantMcpServer) -> None:
    """Serve one client over standard input and output, until its end."""
    thread = EventLoopThread(SystemClock(), "mcp-server")

    async def run() -> None:
        async with stdio_server() as (read, write):
            await assistant.server.run(read, write, assistant.server.create_initialization_options())

    try:
        thread.run(run())
    finally:
        thread.stop()


def create_mcp_application(
    conversations: Conversations,
    token: AccessToken,
    *,
    name: str = "assistant",
    options: ServingOptions | None = None,
    users: Mapping[str, AccessToken] | None = None,
    resources: ResourceSource | None = None,
    talks: bool = True,
) -> Starlette:
    """Return an ASGI application that serves MCP at ``/mcp``, with the tokens and users of `create_application`.

    On a loopback address, it answers only requests whose `Host` is one, so that no web page reaches it by a name of its own.
    Each user has conversations of the user's own; the header ``X-Thread-Id`` names one of several. `resources` and `talks` are those
    of `AssistantMcpServer`.
    """
    options = options if options is not None else ServingOptions()
    assistant = AssistantMcpServer(
        conversations, name=name, user_headers=options.user_headers, resources=resources, talks=talks
    )
    inner = assistant.server.streamable_http_app(host=options.host, max_request_body_size=options.body_limit)

    @contextlib.asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield
            await conversations.drain()
            application.state.server.closing.set()

    pages = Middleware(
        CORSMiddleware,
        allow_origins=list(options.origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Mcp-Session-Id"],
    )
    application = Starlette(
        routes=[Mount("/", app=inner)],
        middleware=[pages, Middleware(TokenAuthMiddleware, token=token, users=users or {})],
        lifespan=lifespan,
    )
    application.state.server = SimpleNamespace(conversations=conversations, closing=asyncio.Event())
    return application
