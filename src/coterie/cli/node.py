"""`coterie node`: one node of a network in this process, with the agents that its topology names; and `coterie keys`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from coterie.concurrency import Signal
from coterie.errors import CoterieError, TopologyError, describe
from coterie.orchestrator.finding import find_object
from coterie.runtime import Agent, Runtime

FILE = Annotated[
    Path | None,
    typer.Argument(
        help="The topology, a TOML file; without it, the environment variables COTERIE_NETWORK_NODES and so on.",
        envvar="COTERIE_NETWORK",
        show_default=False,
    ),
]


def node(
    file: FILE = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="The node of the topology to run here.", envvar="COTERIE_NODE", show_default=False),
    ] = None,
    stop_timeout: Annotated[float, typer.Option(min=0, help="Seconds that agents have to finish after SIGTERM.")] = 10.0,
) -> None:
    """Run one node of a network until SIGTERM, which lets its agents finish, or Ctrl-C, which does not."""
    from coterie.network import NetworkTransport, Topology  # noqa: PLC0415 - only with the extra

    topology = Topology.load(file) if file is not None else Topology.from_environment()
    if name is None:
        raise TopologyError(topology.where, ["which node runs here is not said; add --name, or set COTERIE_NODE"])
    entry = topology.node(name)
    console = Console(highlight=False)
    # Peers get in when the agents are there.
    network = NetworkTransport(topology, name, admit=False)
    with _logging(), _termination() as ended, Runtime(name, transport=network, stop_timeout=stop_timeout) as runtime:
        agents = _set_up(topology.where, name, runtime, network, Path.cwd() if file is None else file.parent)
        network.admit()
        there = f", with {', '.join(agents)}" if agents else ""
        console.print(escape(f"node {name} ({runtime.node}) listens on {entry.listen or entry.address}{there}"), soft_wrap=True)
        ended.wait()
        console.print(f"node {escape(name)} stops", soft_wrap=True)


def keys(
    file: Annotated[Path, typer.Argument(help="The new file, such as one.key.", show_default=False)],
) -> None:
    """Make the keys of a node: a file that only you may read, and the line for the topology."""
    from coterie.network import KeyPair  # noqa: PLC0415 - only with the extra

    pair = KeyPair.new()
    pair.save(file)
    # Single quotes: TOML then takes all characters as they are.
    typer.echo(f"public_key = '{pair.public}'")


def _set_up(where: str, name: str, runtime: Runtime, network: Any, folder: Path) -> list[str]:
    """Call the function and spawn the agents that the topology names; return the names of the agents."""
    entry = network.topology.node(name)

    def found(key: str, reference: str) -> Any:
        try:
            return find_object(reference, folder)
        except LookupError as error:
            raise TopologyError(where, [f"nodes.{name}.{key}: {error}"]) from error

    if entry.setup:
        setup = found("setup", entry.setup)
        try:
            setup(runtime, network)
        except Exception as error:
            raise TopologyError(where, [f"nodes.{name}.setup: {entry.setup} raised {describe(error)}; mend it"]) from error
    for agent, value in entry.agents.items():
        table = value if isinstance(value, dict) else {"agent": value}
        kind = found(f"agents.{agent}", table["agent"])
        if not (isinstance(kind, type) and issubclass(kind, Agent)):
            problem = f"nodes.{name}.agents.{agent}: {table['agent']} is not a subclass of coterie.Agent; derive it from that"
            raise TopologyError(where, [problem])
        try:
            runtime.spawn(kind, *table.get("arguments", ()), name=agent)
        except CoterieError as error:
            raise TopologyError(where, [f"nodes.{name}.agents.{agent}: {error}"]) from error
    return [each.name for each in runtime.agents()]


@contextmanager
def _termination() -> Iterator[Signal]:
    """Give a signal that is set by SIGTERM."""
    ended = Signal()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        yield ended
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _logging() -> Iterator[None]:
    """Write the log to standard error: a node has no other output for people."""
    logger, handler = logging.getLogger("coterie"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
