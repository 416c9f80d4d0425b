"""The options of the commands that use a cluster, and the connection to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from coterie.errors import InvalidSetting

TokenFile: TypeAlias = Annotated[
    Path | None, typer.Option("--token-file", help="The file of the cluster's token.", show_default="~/.coterie/cluster-token")
]
ClusterAddress: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Use the nodes of the cluster at this address of its head; auto for this machine's cluster.",
        show_default=False,
    ),
]

ClusterNodes: TypeAlias = Annotated[
    int, typer.Option("--nodes", min=1, help="Wait until so many nodes of the cluster are ready; with --cluster.")
]
ClusterWait: TypeAlias = Annotated[
    float, typer.Option("--wait", min=1, metavar="SECONDS", help="Wait at most so long for the nodes; with --cluster.")
]
WAIT = 30.0


def use_token_file(file: Path | None) -> None:
    """Name the file of the token to Ray, which reads the environment when it is imported. Raises `InvalidSetting`."""
    if file is None:
        return
    path = file.expanduser()
    if not path.is_file():
        raise InvalidSetting("--token-file", str(file), "a copy of the token that `coterie cluster start --head` has made")
    if path.stat().st_mode & 0o077:
        raise InvalidSetting("--token-file", str(file), f"a file that no other account may read; run: chmod 600 {file}")
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(path))


@contextmanager
def connected(address: str | None, token_file: Path | None, name: str, *, nodes: int = 1, wait: float = WAIT) -> Iterator[Any]:
    """Connect to the cluster at an address, wait for so many nodes, and yield it; None without an address.

    Raises `ExtraMissing` without Ray, `ClusterUnavailable`, and `InvalidSetting` for a token or nodes without an address.
    """
    if address is None:
        if token_file is not None:
            raise InvalidSetting("--token-file", str(token_file), "the option --cluster, whose token it is")
        if nodes != 1:
            raise InvalidSetting("--nodes", nodes, "the option --cluster, whose nodes they are")
        yield None
        return
    use_token_file(token_file)
    from coterie.cluster import Cluster  # noqa: PLC0415 - only with the extra

    with Cluster.connect(address, name=name, nodes=nodes, timeout=wait) as cluster:
        yield cluster
