"""`coterie cluster`: start a cluster, let machines join it, look at it, drain its nodes, stop it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.connecting import TokenFile, use_token_file
from coterie.errors import InvalidSetting

cluster = typer.Typer(help="The same program on several machines, on Ray (extra cluster).", no_args_is_help=True)

NAME = Annotated[str, typer.Option("--name", help="The name of this machine's node.", show_default=False)]
HOST = Annotated[str, typer.Option("--host", help="The address at which the others reach this machine.", show_default=False)]
LABELS = Annotated[
    list[str] | None, typer.Option("--label", help="KEY=VALUE, for placement; may be given again.", show_default=False)
]
RESOURCES = Annotated[
    list[str] | None, typer.Option("--resource", help="NAME=NUMBER, for placement; may be given again.", show_default=False)
]
CPUS = Annotated[
    int | None, typer.Option("--cpus", min=0, help="CPUs for Ray; 0 for a machine without a node.", show_default=False)
]
PORTS = Annotated[
    str,
    typer.Option(
        "--ports",
        help="The ports at which its node and programs listen, such as 20000-20100; by default any.",
        show_default=False,
    ),
]
MORE = Annotated[
    list[str] | None,
    typer.Option(
        "--ray",
        help="A further option of `ray start`, such as --node-manager-port=20101; may be given again.",
        show_default=False,
    ),
]
ADDRESS = Annotated[str, typer.Option("--address", help="The address of the head; auto for this machine's cluster.")]


@cluster.command("start")
def start(
    head: Annotated[bool, typer.Option("--head", help="Start the head on this machine.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the head.")] = 6379,
    host: HOST = "",
    name: NAME = "",
    label: LABELS = None,
    resource: RESOURCES = None,
    cpus: CPUS = None,
    ports: PORTS = "",
    ray: MORE = None,
    token_file: TokenFile = None,
) -> None:
    """Start a cluster: its head, which is a node as well unless it has no CPUs."""
    from coterie.cluster.machine import parse_pairs, start_head  # noqa: PLC0415 - only with the extra
    from coterie.cluster.security import TOKEN_FILE  # noqa: PLC0415 - as above

    if not head:
        raise InvalidSetting("start", "", "--head; to add a machine to a cluster, use `coterie cluster join ADDRESS`")
    address = start_head(
        port=port, host=host, name=name, labels=parse_pairs("--label", label or []), resources=_resources(resource), cpus=cpus,
        token=token_file, ports=ports, more=ray or [],
    )  # fmt: skip
    console = Console(highlight=False)
    console.print(f"the head listens at {address}", soft_wrap=True)
    console.print(
        f"copy {token_file or TOKEN_FILE} to each machine, and join by: coterie cluster join {address}", soft_wrap=True
    )


@cluster.command("join")
def join(
    address: Annotated[str, typer.Argument(help="The address of the head.", show_default=False)],
    host: HOST = "",
    name: NAME = "",
    label: LABELS = None,
    resource: RESOURCES = None,
    cpus: CPUS = None,
    ports: PORTS = "",
    ray: MORE = None,
    token_file: TokenFile = None,
) -> None:
    """Let this machine join a cluster. Its node starts when a program has connected."""
    from coterie.cluster import machine  # noqa: PLC0415 - only with the extra

    machine.join(
        address, host=host, name=name, labels=machine.parse_pairs("--label", label or []), resources=_resources(resource),
        cpus=cpus, token=token_file, ports=ports, more=ray or [],
    )  # fmt: skip
    Console(highlight=False).print(f"this machine has joined the cluster at {escape(address)}", soft_wrap=True)


@cluster.command("status")
def status(
    address: ADDRESS = "auto", timeout: Annotated[float, typer.Option(min=1)] = 30.0, token_file: TokenFile = None
) -> None:
    """Show the nodes of a cluster."""
    use_token_file(token_file)
    from coterie.cluster import Cluster  # noqa: PLC0415 - only with the extra
    from coterie.cluster.machine import machines_without_nodes  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    with machines_without_nodes(address) as machines:
        if machines is not None:
            console.print(
                f"no program has connected yet: no nodes, on the machines {escape(', '.join(machines))}", soft_wrap=True
            )
            return
        with Cluster.connect(address, nodes=0, timeout=timeout, name="status") as connected:
            found = connected.status()
    table = Table("node", "address", "agents", "handled", "state", "labels", "version")
    for name, entry in found["nodes"].items():
        labels = " ".join(
            f"{key}={value}" for key, value in entry["labels"].items() if not key.startswith(("ray.io/", "coterie.io/"))
        )
        handled = str(entry.get("handled", "?"))
        table.add_row(name, entry["address"], str(entry["agents"]), handled, _state(entry), labels, entry["version"])
    console.print(table)
    for machine, problem in found["problems"].items():
        console.print(f"no node on the machine {machine[:6]}: {escape(problem)}", soft_wrap=True)


@cluster.command("drain")
def drain(
    node: Annotated[str, typer.Argument(help="The name of the node.", show_default=False)],
    address: ADDRESS = "auto",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that its agents have to move or to finish.")] = 30.0,
    token_file: TokenFile = None,
) -> None:
    """Move the durable agents of a node away, let its other agents finish, and stop it."""
    use_token_file(token_file)
    from coterie.cluster import Cluster  # noqa: PLC0415 - only with the extra
    from coterie.cluster.machine import machines_without_nodes  # noqa: PLC0415 - as above
    from coterie.errors.cluster import UnknownNode  # noqa: PLC0415 - as above

    with machines_without_nodes(address) as machines:
        if machines is not None:
            raise UnknownNode(node, [])
        with Cluster.connect(address, nodes=0, name="drain") as connected:
            connected.drain(node, timeout)
    Console(highlight=False).print(f"node {escape(node)} has stopped", soft_wrap=True)


@cluster.command("stop")
def stop(force: Annotated[bool, typer.Option("--force", help="Kill at once.")] = False) -> None:
    """Stop what `start` and `join` have started on this machine; on the head, the whole cluster."""
    from coterie.cluster.machine import stop_machine  # noqa: PLC0415 - only with the extra

    ended = stop_machine(force=force)
    text = f"the cluster has stopped on this machine: {ended} processes" if ended else "no cluster was started on this machine"
    Console(highlight=False).print(text, soft_wrap=True)


def _state(entry: dict[str, Any]) -> str:
    if "problem" in entry:
        return "does not answer"
    return "draining" if entry["draining"] else "ready" if entry["ready"] else "starting"


def _resources(pairs: list[str] | None) -> dict[str, float]:
    from coterie.cluster.machine import parse_pairs  # noqa: PLC0415 - only with the extra

    found = {}
    for name, value in parse_pairs("--resource", pairs or []).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise InvalidSetting("--resource", f"{name}={value}", "NAME=NUMBER, such as gpu=1") from None
    return found
