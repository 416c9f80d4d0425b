"""`coterie mcp`: an assistant, simulations, or a memory, as an MCP server."""

from __future__ import annotations

import contextlib
import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl, Expose, announce, note, serving_token
from coterie.errors import ExtraMissing, InvalidSetting
from coterie.orchestrator import find_runs, load_scenario
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.orchestrator.assistants.scenario import KIND
from coterie.orchestrator.assistants.simulations import SimulationTools, host_simulations
from coterie.orchestrator.scenario import read_scenario


def mcp(
    scenario: Annotated[
        Path | None,
        typer.Argument(
            help="A scenario of any kind, a TOML file; or a folder of runs, or of one run, to look at.", show_default=False
        ),
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
    """Serve an assistant, simulations, runs, or a memory to MCP clients, until they leave or Ctrl-C.

    Of an assistant: its tools, operations, memory and conversation. Of a simulation: tools that run it as a task, steer it, and read
    its runs. Of a folder of runs: their states, worlds and results.
    """
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
    # Standard output belongs to the protocol.
    console = Console(stderr=True, highlight=False)

    with contextlib.ExitStack() as resources:
        if scenario.is_dir() or _kind_of(scenario) != KIND:
            if model is not None or base_url is not None:
                raise InvalidSetting("model", model or base_url, "left out: a simulation has the model of its scenario")
            name, simulations, store = _simulations_of(scenario, out)
            conversations = resources.enter_context(host_simulations(simulations, store))
            options: dict[str, Any] = {"resources": simulations, "talks": False}
        else:
            loaded = load_assistant(scenario)
            folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
            assistant = resources.enter_context(
                open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=partial(note, console))
            )
            name, conversations, options = assistant.name, assistant.conversations, {"resources": assistant.simulations}
        options["name"] = name.replace(" ", "-")
        if not http:
            serve_stdio(AssistantMcpServer(conversations, user=user, **options))
            return
        from coterie.interop import ServingOptions, serve  # noqa: PLC0415 - only with the extras

        serving = ServingOptions(host=host, port=port, expose=expose)
        token = serving_token(expose=expose)
        application = create_mcp_application(conversations, token, options=serving, **options)
        serve(application, serving, ready=lambda address: announce(console, f"{name} is served at {address}/mcp", token))


def _kind_of(scenario: Path) -> str:
    """Return the kind of a scenario file; that of an assistant for one that cannot be read, whose loading names the fault."""
    try:
        return str(tomllib.loads(read_scenario(scenario)).get("kind", KIND))
    except tomllib.TOMLDecodeError:
        return KIND


def _simulations_of(path: Path, out: Path) -> tuple[str, SimulationTools, Path | None]:
    """Return the name of a server of simulations, its tools, and the file of its operations; None to keep none."""
    if path.is_dir():
        if not find_runs([path]):
            raise InvalidSetting("scenario", path, "a scenario file, or a folder in which runs are")
        return path.resolve().name, SimulationTools(path), None
    name = load_scenario(path).parameters.name
    return name, SimulationTools(out, [path]), out / "mcp" / name.replace(" ", "-") / "conversations.db"


def serve_memory(path: Path, agent: str) -> None:
    """Serve the memories of an agent in a file over standard input and output."""
    from coterie.interop.memory_tools import memory_server  # noqa: PLC0415 - only with the extra
    from coterie.memory import MemoryConfig, TieredMemory  # noqa: PLC0415 - as above

    with TieredMemory(MemoryConfig(path=path)) as store:
        memory_server(store, agent).run("stdio")
