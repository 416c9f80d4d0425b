"""`coterie a2a`: an assistant as an A2A agent."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl, Expose, ServedScenario, announce, note, serving_token
from coterie.errors import ExtraMissing
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.storage import open_database


def a2a(
    scenario: ServedScenario,
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8802,
    url: Annotated[
        str | None, typer.Option(help="The address that the card names, behind a proxy say.", show_default=False)
    ] = None,
    expose: Expose = False,
    private_push: Annotated[
        bool, typer.Option("--private-push", help="Push notifications to addresses of private networks, too.")
    ] = False,
    model: AnsweringModel = None,
    base_url: BaseUrl = None,
    out: AssistantsFolder = Path("runs"),
) -> None:
    """Serve an assistant to other agents by A2A, until Ctrl-C."""
    try:
        from coterie.interop import ServingOptions, serve  # noqa: PLC0415 - only with the extras
        from coterie.interop.a2a.application import create_a2a_application  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ExtraMissing("`coterie a2a`", "a2a,serve") from error
    options = ServingOptions(host=host, port=port, expose=expose)
    token = serving_token(expose=expose)
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    console = Console(highlight=False)

    def ready(address: str) -> None:
        line = f"{loaded.scenario.name} is served at {address}, its card at {address}/.well-known/agent-card.json"
        announce(console, line, token)

    with (
        open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=partial(note, console)) as assistant,
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
