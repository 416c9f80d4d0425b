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
def connected(address: str | None, token_file: Path | None, name: str) -> Iterator[Any]:
    """Connect to the cluster at an address, and yield it; None without an address.

    Raises `ExtraMissing` without Ray, `ClusterUnavailable`, and `InvalidSetting` for a token without an address.
    """
    if address is None:
        if token_file is not None:
            raise InvalidSetting("--token-file", str(token_file), "the option --cluster, whose token it is")
        yield None
        return
    use_token_file(token_file)
    from coterie.cluster import Cluster  # noqa: PLC0415 - only with the extra

    with Cluster.connect(address, name=name) as cluster:
        yield cluster
