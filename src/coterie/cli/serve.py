"""`coterie serve`: an assistant over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from coterie.cli.connecting import ClusterAddress, TokenFile, connected
from coterie.cli.console import PORT, Port, Wanted, shown
from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl, Expose, ServedScenario, announce, note, serving_token
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.errors import InvalidSetting
from coterie.kernel.access import AccessToken
from coterie.orchestrator.assistants.opening import ChatFolder, LoadedAssistant, load_assistant, open_assistant
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
    store: Annotated[
        str | None,
        typer.Option(help="Keep conversations in this PostgreSQL: postgresql://USER:PASSWORD@HOST/NAME.", show_default=False),
    ] = None,
    cluster: ClusterAddress = None,
    token_file: TokenFile = None,
) -> None:
    """Serve an assistant: AG-UI at /agui, OpenAI's chat completions at /v1, until Ctrl-C.

    With --cluster and --store, its conversations are on the nodes of a cluster. Any number of commands may serve it there.
    """
    from coterie.interop import ServingOptions, create_application  # noqa: PLC0415 - only with the extra
    from coterie.interop import serve as serve_application  # noqa: PLC0415 - as above

    options = ServingOptions(host=host, port=port, expose=expose, origins=tuple(origin or ()), body_limit=body_limit)
    token = serving_token(expose=expose)
    loaded = load_assistant(scenario)
    if cluster is not None or token_file is not None:
        if console:
            raise InvalidSetting("--console", "", "no --cluster: the conversations are on the nodes")
        _serve_nodes(loaded, store, token, options, model=model, base_url=base_url, cluster=cluster, token_file=token_file)
        return
    if store is not None:
        check_store(store)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    terminal = Console(highlight=False)

    def ready(address: str) -> None:
        announce(terminal, f"{loaded.scenario.name} is served at {address}", token)

    with (
        traced(trace, content=trace_content),
        open_assistant(
            loaded, folder.path, model=model, base_url=base_url, notice=partial(note, terminal), store=store
        ) as assistant,
        open_database(store if store is not None else folder.path / "conversations.db") as records,
        shown(console, [out], "/conversations", port=console_port) as show,
    ):
        for part in assistant.parts:
            show(part, assistant.name)
        application = create_application(
            assistant.conversations, token, store=records, name=assistant.name.replace(" ", "-"), options=options
        )
        serve_application(application, options, ready=ready)


def _serve_nodes(
    loaded: LoadedAssistant,
    store: str | None,
    token: AccessToken,
    options: Any,
    *,
    model: str | None,
    base_url: str | None,
    cluster: str | None,
    token_file: Path | None,
) -> None:
    """Serve an assistant whose conversations are on the nodes of a cluster."""
    place = check_store(store)
    terminal = Console(highlight=False)
    with connected(cluster, token_file, "serve") as nodes:
        from coterie.interop import serve as serve_application  # noqa: PLC0415 - only with the extra
        from coterie.interop.front import create_front  # noqa: PLC0415 - as above
        from coterie.orchestrator.assistants.spreading import spread  # noqa: PLC0415 - as above

        with spread(nodes, loaded, place, model=model, base_url=base_url, options=options) as places:
            name = loaded.scenario.name
            names = ", ".join(each.name for each in nodes.nodes())

            def ready(address: str) -> None:
                announce(terminal, f"{name} is served at {address}, by the nodes {names}", token)

            application = create_front(places, token, name=name.replace(" ", "-"), options=options)
            serve_application(application, options, ready=ready)


def check_store(store: str | None) -> str:
    """Return the address of the database of conversations. Raises `InvalidSetting` if nodes cannot share it."""
    if store is None or not store.startswith(("postgres://", "postgresql://")):
        need = (
            "postgresql://USER:PASSWORD@HOST:PORT/NAME: with --cluster the nodes share the conversations and their operations"
        )
        raise InvalidSetting("--store", store or "", need)
    return store
