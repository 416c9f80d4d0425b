"""This machine as a part of a cluster: Ray's processes on it are started and stopped by Ray's own command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coterie.cluster import rays
from coterie.cluster.security import make_token, use_token
from coterie.errors import InvalidSetting
from coterie.errors.cluster import ClusterError, ClusterUnavailable

PORT = 6379
_WITHIN = 120.0


def start_head(
    *,
    port: int = PORT,
    host: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
    cpus: int | None = None,
    token: Path | None = None,
    more: Sequence[str] = (),
) -> str:
    """Start Ray's head on this machine, and return its address. It makes the token of the cluster if there is none.

    `host` is the address at which the others reach it. With 0 `cpus` the machine has no node of the cluster. `more` are further
    options of ``ray start``. Raises `ClusterError`.
    """
    make_token(token)
    arguments = ["--head", f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    if host:
        arguments.append(f"--node-ip-address={host}")
    _ray("start", [*arguments, *_machine_options(name, labels, resources, cpus), *more], token)
    return f"{host or '127.0.0.1'}:{port}"


def join(
    address: str,
    *,
    host: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
    cpus: int | None = None,
    token: Path | None = None,
    more: Sequence[str] = (),
) -> None:
    """Let this machine join the cluster at an address. Raises `ClusterUnavailable`, `ClusterError`."""
    rays.probe(address)
    arguments = [f"--address={address}", "--disable-usage-stats"]
    if host:
        arguments.append(f"--node-ip-address={host}")
    _ray("start", [*arguments, *_machine_options(name, labels, resources, cpus), *more], token)


def stop_machine(*, force: bool = False) -> None:
    """Stop all of Ray on this machine. Its agents end; drain its node first if they should finish. Raises `ClusterError`."""
    _ray("stop", ["--force"] if force else [], None)


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return the pairs of an option that is given as ``KEY=VALUE``. Raises `InvalidSetting`."""
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (key and sign and value):
            raise InvalidSetting(option, pair, "KEY=VALUE")
        found[key] = value
    return found


def _machine_options(
    name: str, labels: Mapping[str, str] | None, resources: Mapping[str, float] | None, cpus: int | None
) -> list[str]:
    all_labels = {**(labels or {}), **({rays.NODE_LABEL: name} if name else {})}
    options = []
    if all_labels:
        options.append("--labels=" + ",".join(f"{key}={value}" for key, value in all_labels.items()))
    if resources:
        options.append(f"--resources={json.dumps(dict(resources))}")
    if cpus is not None:
        options.append(f"--num-cpus={cpus}")
    return options


def _ray(command: str, arguments: Sequence[str], token: Path | None) -> None:
    use_token(token)
    whole = [sys.executable, "-m", "ray.scripts.scripts", command, *arguments]
    try:
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=_WITHIN)  # noqa: S603 - Ray's own command
    except subprocess.TimeoutExpired as error:
        raise ClusterUnavailable("this machine", f"`ray {command}` has not ended after {_WITHIN:g} s") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
        raise ClusterError(f"`ray {command}` failed: {' '.join(lines[-3:])}; look at /tmp/ray/session_latest/logs")
