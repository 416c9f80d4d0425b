"""`coterie mcp`: an assistant, or a memory, as an MCP server."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl, Expose, announce, note, serving_token
from coterie.errors import ExtraMissing, InvalidSetting
from coterie.orchestrator.assistants.opening import ChatFolder, OpenAssistant, load_assistant, open_assistant


def mcp(
    scenario: Annotated[
        Path | None, typer.Argument(help="The scenario of kind conversation, a TOML file.", show_default=False)
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option("--memory", help="Serve the memories in this file instead of an assistant.", show_default=False),
    ] = None,
    agent: Annotated[str, typer.Option(help="The agent whose memories these are, with --memory.")] = "assistant",
    http: Annotated[
        bool, typer.Option("--http", help="Serve by streamable HTTP at /mcp, instead of standard input and output.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address to serve on, with --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port, with --http; 0 for any that is free.")] = 8801,
    expose: Expose = False,
    user: Annotated[str, typer.Option(help="Who the client acts for, without --http.")] = "me",
    model: AnsweringModel = None,
    base_url: BaseUrl = None,
    out: AssistantsFolder = Path("runs"),
) -> None:
    """Serve an assistant's tools, operations and conversation, or a memory, to MCP clients, until they leave or Ctrl-C."""
    if memory is not None:
        if scenario is not None or http:
            raise InvalidSetting("memory", memory, "served alone, over standard input and output: coterie mcp --memory FILE")
        serve_memory(memory, agent)
        return
    if scenario is None:
        raise InvalidSetting("scenario", "", "a file: coterie mcp SCENARIO, or coterie mcp --memory FILE")
    try:
        from coterie.interop.mcp.running import create_mcp_application, serve_stdio  # noqa: PLC0415 - only with the extras
        from coterie.interop.mcp.server import AssistantMcpServer  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ExtraMissing("`coterie mcp`", "mcp,serve") from error
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    # Standard output belongs to the protocol.
    console = Console(stderr=True, highlight=False)

    with open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=partial(note, console)) as assistant:
        name = assistant.name.replace(" ", "-")
        if not http:
            serve_stdio(AssistantMcpServer(assistant.conversations, name=name, user=user))
            return
        _serve_http(assistant, name, host, port, console, create_mcp_application, expose=expose)


def _serve_http(
    assistant: OpenAssistant, name: str, host: str, port: int, console: Console, create: object, *, expose: bool
) -> None:
    from coterie.interop import ServingOptions  # noqa: PLC0415 - only with the extras
    from coterie.interop import serve as serve_application  # noqa: PLC0415 - as above

    options = ServingOptions(host=host, port=port, expose=expose)
    token = serving_token(expose=expose)

    def ready(address: str) -> None:
        announce(console, f"{assistant.name} is served at {address}/mcp", token)

    assert callable(create)
    serve_application(create(assistant.conversations, token, name=name, options=options), options, ready=ready)


def serve_memory(path: Path, agent: str) -> None:
    """Serve the memories of an agent in a file over standard input and output."""
    from coterie.interop.memory_tools import memory_server  # noqa: PLC0415 - only with the extra
    from coterie.memory import MemoryConfig, TieredMemory  # noqa: PLC0415 - as above

    with TieredMemory(MemoryConfig(path=path)) as store:
        memory_server(store, agent).run("stdio")
