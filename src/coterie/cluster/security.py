"""The token of a cluster: Ray lets in only those that have it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from coterie.errors.cluster import ClusterError

MODE, PATH, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN"
TOKEN_FILE = Path("~/.coterie/cluster-token")
"""The file of the token, unless another is named."""
_BYTES = 32
_OTHERS = 0o077


def make_token(path: Path | None = None) -> Path:
    """Make a new token in a file that only its owner may read, unless the file exists; return its path."""
    file = (path or TOKEN_FILE).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return file
    with os.fdopen(handle, "w") as stream:
        stream.write(secrets.token_hex(_BYTES))
    return file


def use_token(path: Path | None = None) -> dict[str, str]:
    """Have this process, and those that it starts, authenticate by the token of a file; return the variables of Ray for that.

    A `path` goes before the environment variable ``RAY_AUTH_MODE``, which goes before the default file; with "disabled" no token is
    used. Without any of them it is Ray's own business. Call it before Ray is imported. Raises `ClusterError` for a named
    file that is missing, or that other accounts may read.
    """
    if path is None and MODE in os.environ:
        return {name: os.environ[name] for name in (MODE, PATH, TOKEN) if name in os.environ}
    file = (path or TOKEN_FILE).expanduser()
    if not file.is_file():
        if path is not None:
            raise ClusterError(
                f"there is no token at {file}; copy the file of the head, which `coterie cluster start --head` made"
            )
        return {}
    if file.stat().st_mode & _OTHERS:
        raise ClusterError(f"other accounts may read the token in {file}; run: chmod 600 {file}")
    variables = {MODE: "token", PATH: str(file)}
    os.environ.pop(TOKEN, None)
    os.environ.update(variables)
    return variables
