"""`coterie serve`: an assistant over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.console import PORT, Port, Wanted, shown
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.errors import InvalidSetting
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.storage import open_database

_VARIABLE = "COTERIE_TOKEN"


def serve(
    scenario: Annotated[Path, typer.Argument(help="The scenario of kind conversation, a TOML file.", show_default=False)],
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8800,
    expose: Annotated[
        bool, typer.Option("--expose", help=f"Let other machines in, with a token of your own in {_VARIABLE}.")
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="A web page that may call from a browser; may be given again.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Answer by this model, instead of the scenario's.", show_default=False)
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where an OpenAI-compatible server is, for --model.", show_default=False)
    ] = None,
    body_limit: Annotated[int, typer.Option(min=1, help="Bytes of a request at most.")] = 16_000_000,
    out: Annotated[Path, typer.Option(help="Where the assistant's folder is.")] = Path("runs"),
    trace: TraceTo = None,
    trace_content: TraceContent = False,
    console: Wanted = False,
    console_port: Port = PORT,
) -> None:
    """Serve an assistant: AG-UI at /agui, OpenAI's chat completions at /v1, until Ctrl-C."""
    from coterie.interop import AccessToken, ServingOptions, create_application  # noqa: PLC0415 - only with the extra
    from coterie.interop import serve as serve_application  # noqa: PLC0415 - as above

    options = ServingOptions(host=host, port=port, expose=expose, origins=tuple(origin or ()), body_limit=body_limit)
    token = AccessToken.of(os.environ, _VARIABLE)
    if expose and token.generated:
        raise InvalidSetting(
            "token", "", f"one of your own in the environment variable {_VARIABLE}, when other machines are let in"
        )
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    terminal = Console(highlight=False)

    def ready(address: str) -> None:
        terminal.print(f"{escape(loaded.scenario.name)} is served at {address}", soft_wrap=True)
        if token.generated:
            terminal.print(f"The token, for this time only: {escape(token.reveal())}", soft_wrap=True)
        else:
            terminal.print(f"The token is that of {_VARIABLE}.", soft_wrap=True)

    def notice(line: str) -> None:
        terminal.print(f"  ({escape(line)})", soft_wrap=True)

    with (
        traced(trace, content=trace_content),
        open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=notice) as assistant,
        open_database(folder.path / "conversations.db") as store,
        shown(console, [out], "/conversations", port=console_port) as show,
    ):
        for part in assistant.parts:
            show(part, assistant.name)
        application = create_application(
            assistant.conversations, token, store=store, name=assistant.name.replace(" ", "-"), options=options
        )
        serve_application(application, options, ready=ready)
