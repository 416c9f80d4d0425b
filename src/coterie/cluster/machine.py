"""This machine as a part of a cluster: Ray's own command starts the processes, and they carry a mark by which they are stopped."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from coterie.cluster import rays
from coterie.cluster.ports import PORTS, parse_ports
from coterie.cluster.probing import ADMISSION, REFUSED, probe
from coterie.cluster.security import make_token, use_token
from coterie.errors import InvalidSetting
from coterie.errors.cluster import ClusterError, ClusterUnavailable

PORT = 6379
MARK = "COTERIE_CLUSTER"
"""The environment variable that all processes inherit which `start_head` and `join` start; each call has its own value."""
_NICENESS = {"RAY_worker_niceness": "0"}
"""Ray would give its processes the lowest priority but four, and a node that starves counts as lost."""
_WITHIN = 120.0
_GRACE = 10.0
_CHECKED_WITHIN = 30.0
_NOT_ADMITTED = 7
_CHECK = f"""
import sys
from coterie.cluster.probing import check_admission
from coterie.errors.cluster import ClusterUnavailable
try:
    check_admission(sys.argv[1])
except ClusterUnavailable as error:
    print(error.problem)
    sys.exit({_NOT_ADMITTED})
"""
"""A program that says why, and ends by `_NOT_ADMITTED`, if no cluster answers at an address, or if it refuses its token."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_KEY = re.compile(rf"([a-z0-9.-]+/)?{_NAME.pattern}")
_NAME_RULE = "at most 63 letters, digits, '-', '_' and '.', with a letter or a digit at both ends"
_OWN_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
"""Resources that Ray counts by itself."""


def start_head(
    *,
    port: int = PORT,
    host: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
    cpus: int | None = None,
    token: Path | None = None,
    ports: str = "",
    more: Sequence[str] = (),
) -> str:
    """Start Ray's head on this machine, and return its address. It makes the token of the cluster if there is none.

    `host` is the address at which the others reach it. With 0 `cpus` the machine has no node of the cluster. `ports` are
    those at which its members listen for each other, such as ``20000-20100``. `more` are further options of ``ray start``. Raises `ClusterError`, and `InvalidSetting`.
    """
    options = _machine_options(name, labels, resources, cpus)
    parse_ports(ports, "--ports")
    if _listens(host or "127.0.0.1", port):
        raise ClusterError(
            f"a process listens at port {port} already: end that, such as an earlier head by `coterie cluster stop`, or choose another "
            "port by --port"
        )
    make_token(token)
    arguments = ["--head", f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    if host:
        arguments.append(f"--node-ip-address={host}")
    _ray("start", [*arguments, *options, *more], token, ports)
    return f"{host or rays.own_address()}:{port}"


def join(
    address: str,
    *,
    host: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
    cpus: int | None = None,
    token: Path | None = None,
    ports: str = "",
    more: Sequence[str] = (),
) -> None:
    """Let this machine join the cluster at an address, with options as of `start_head`.

    Raises `ClusterUnavailable`, `ClusterError`, and `InvalidSetting`.
    """
    options = _machine_options(name, labels, resources, cpus)
    parse_ports(ports, "--ports")
    probe(address)
    _check_admission(address, token)
    arguments = [f"--address={address}", "--disable-usage-stats"]
    if host:
        arguments.append(f"--node-ip-address={host}")
    _ray("start", [*arguments, *options, *more], token, ports)


def stop_machine(*, force: bool = False) -> int:
    """Stop all that `start_head` and `join` have started on this machine; return the number of processes that have ended.

    Other processes of Ray are left alone. The agents of its nodes end; drain a node first if its agents should finish.
    """
    return _stop(_own_processes(), force=force)


def _stop(found: list[psutil.Process], *, force: bool) -> int:
    raylets, heads = ([each for each in found if _name(each) == name] for name in ("raylet", "gcs_server"))
    # The parts of a machine complain if it ends after them, and so do machines if their head ends first.
    for group in (raylets, [each for each in found if each not in raylets and each not in heads], heads):
        for process in group:
            _signal(process, force=force)
        _, alive = psutil.wait_procs(group, timeout=_GRACE)
        for process in alive:
            _signal(process, force=True)
        psutil.wait_procs(alive, timeout=_GRACE)
    return len(found)


@contextmanager
def machines_without_nodes(address: str) -> Iterator[list[str] | None]:
    """Give the names of the machines of a cluster to which no program has connected yet; None if one has.

    This process is connected to Ray within. Raises `ClusterUnavailable`.
    """
    rays.connect(address, None)
    try:
        yield None if rays.has_directory() else sorted(rays.name_of(each) for each in rays.machines().values())
    finally:
        rays.disconnect()


def _own_processes(mark: str = "") -> list[psutil.Process]:
    """Return the processes with the mark, and all that they have started, except this one and those that started it.

    With a value of the `mark`, only those of one call.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARK)
            if value is not None and mark in ("", value):
                found |= {each.pid: each for each in [process, *process.children(recursive=True)]}
        except (psutil.Error, OSError):
            continue  # It has ended, or belongs to another account.
    this = psutil.Process()
    for process in (this, *this.parents()):
        found.pop(process.pid, None)
    return list(found.values())


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        pass  # It has ended.


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
    """Return the options of Ray for a machine. Raises `InvalidSetting` for what Ray would not take, or take otherwise."""
    all_labels = {**(labels or {}), **({rays.NODE_LABEL: name} if name else {})}
    if name and not _NAME.fullmatch(name):
        raise InvalidSetting("--name", name, _NAME_RULE)
    for key, value in all_labels.items():
        if not _KEY.fullmatch(key) or not _NAME.fullmatch(value):
            raise InvalidSetting("--label", f"{key}={value}", f"a key and a value of {_NAME_RULE}")
    for key, amount in (resources or {}).items():
        if key in _OWN_RESOURCES:
            raise InvalidSetting("--resource", key, "a name of its own, such as gpu; --cpus gives the CPUs")
        if not (math.isfinite(amount) and amount >= 0 and amount == int(amount)):
            raise InvalidSetting("--resource", f"{key}={amount:g}", "a whole number that is not negative")
    options = []
    if all_labels:
        options.append("--labels=" + ",".join(f"{key}={value}" for key, value in all_labels.items()))
    if resources:
        options.append(f"--resources={json.dumps(dict(resources))}")
    if cpus is not None:
        options.append(f"--num-cpus={cpus}")
    return options


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


def _ray(command: str, arguments: Sequence[str], token: Path | None, ports: str) -> None:
    """Run Ray's command. If that fails, end what it has started by then. Raises `ClusterError`."""
    mark = secrets.token_hex(8)
    try:
        _run(command, arguments, token, mark, ports)
    except BaseException:
        _stop(_own_processes(mark), force=True)
        raise


def _check_admission(address: str, token: Path | None) -> None:
    """Raise `ClusterUnavailable` as `check_admission` does. Ray, which reads a token once, is asked in another process."""
    use_token(token)
    whole = [sys.executable, "-c", _CHECK, address]
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=_CHECKED_WITHIN)  # noqa: S603 - our own
        if done.returncode == _NOT_ADMITTED:
            raise ClusterUnavailable(address, done.stdout.strip())


def _run(command: str, arguments: Sequence[str], token: Path | None, mark: str, ports: str) -> None:
    use_token(token)
    # All processes of Ray on this machine inherit it.
    environment = {**_NICENESS, **os.environ, MARK: mark, **({PORTS: ports} if ports else {})}
    whole = [sys.executable, "-m", "ray.scripts.scripts", command, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - Ray's own command
            whole, capture_output=True, text=True, check=False, timeout=_WITHIN, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterUnavailable("this machine", f"`ray {command}` has not ended after {_WITHIN:g} s") from error
    if "InvalidAuthToken" in done.stdout + done.stderr:
        raise ClusterError(f"`ray {command}`: {REFUSED}; {ADMISSION}")
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
        lines = [line for line in lines if line and not line.startswith("File ")]
        raise ClusterError(f"`ray {command}` failed: {' '.join(lines[-3:])}; look at /tmp/ray/session_latest/logs")
