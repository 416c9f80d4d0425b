"""`coterie a2a`: an assistant as an A2A agent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.errors import ExtraMissing, InvalidSetting
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.storage import open_database

_VARIABLE = "COTERIE_TOKEN"


def a2a(
    scenario: Annotated[Path, typer.Argument(help="The scenario of kind conversation, a TOML file.", show_default=False)],
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8802,
    url: Annotated[
        str | None, typer.Option(help="The address that the card names, behind a proxy say.", show_default=False)
    ] = None,
    expose: Annotated[
        bool, typer.Option("--expose", help=f"Let other machines in, with a token of your own in {_VARIABLE}.")
    ] = False,
    private_push: Annotated[
        bool, typer.Option("--private-push", help="Push notifications to addresses of private networks, too.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Answer by this model, instead of the scenario's.", show_default=False)
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where an OpenAI-compatible server is, for --model.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the assistant's folder is.")] = Path("runs"),
) -> None:
    """Serve an assistant to other agents by A2A, until Ctrl-C."""
    try:
        from coterie.interop import AccessToken, ServingOptions, serve  # noqa: PLC0415 - only with the extras
        from coterie.interop.a2a.application import create_a2a_application  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ExtraMissing("`coterie a2a`", "a2a,serve") from error
    options = ServingOptions(host=host, port=port, expose=expose)
    token = AccessToken.of(os.environ, _VARIABLE)
    if expose and token.generated:
        raise InvalidSetting("token", "", f"one of your own in the environment variable {_VARIABLE}")
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    console = Console(highlight=False)

    def notice(line: str) -> None:
        console.print(f"  ({escape(line)})", soft_wrap=True)

    def ready(address: str) -> None:
        console.print(
            f"{escape(loaded.scenario.name)} is served at {address}, its card at {address}/.well-known/agent-card.json"
        )
        if token.generated:
            console.print(f"The token, for this time only: {escape(token.reveal())}", soft_wrap=True)

    with (
        open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=notice) as assistant,
        open_database(folder.path / "conversations.db") as store,
    ):
        application = create_a2a_application(
            assistant.conversations,
            token,
            store=store,
            name=assistant.name,
            description=loaded.scenario.description,
            url=url or f"http://{host}:{port}",
            options=options,
            private_push=private_push,
        )
        serve(application, options, ready=ready)
