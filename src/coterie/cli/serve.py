"""`coterie serve`: an assistant over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coterie.cli.console import PORT, Port, Wanted, shown
from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl, Expose, ServedScenario, announce, note, serving_token
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.storage import open_database


def serve(
    scenario: ServedScenario,
    host: Annotated[str, typer.Option(help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8800,
    expose: Expose = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="A web page that may call from a browser; may be given again.", show_default=False)
    ] = None,
    model: AnsweringModel = None,
    base_url: BaseUrl = None,
    body_limit: Annotated[int, typer.Option(min=1, help="Bytes of a request at most.")] = 16_000_000,
    out: AssistantsFolder = Path("runs"),
    trace: TraceTo = None,
    trace_content: TraceContent = False,
    console: Wanted = False,
    console_port: Port = PORT,
) -> None:
    """Serve an assistant: AG-UI at /agui, OpenAI's chat completions at /v1, until Ctrl-C."""
    from coterie.interop import ServingOptions, create_application  # noqa: PLC0415 - only with the extra
    from coterie.interop import serve as serve_application  # noqa: PLC0415 - as above

    options = ServingOptions(host=host, port=port, expose=expose, origins=tuple(origin or ()), body_limit=body_limit)
    token = serving_token(expose=expose)
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    terminal = Console(highlight=False)

    def ready(address: str) -> None:
        announce(terminal, f"{loaded.scenario.name} is served at {address}", token)

    with (
        traced(trace, content=trace_content),
        open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=partial(note, terminal)) as assistant,
        open_database(folder.path / "conversations.db") as store,
        shown(console, [out], "/conversations", port=console_port) as show,
    ):
        for part in assistant.parts:
            show(part, assistant.name)
        application = create_application(
            assistant.conversations, token, store=store, name=assistant.name.replace(" ", "-"), options=options
        )
        serve_application(application, options, ready=ready)
