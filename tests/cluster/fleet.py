"""A cluster of Ray on this machine whose machines a test may kill, freeze, cut off, and let join again.

Each machine is a network namespace with processes of its own, started as `coterie cluster start` and `join` start them. Where
namespaces are not permitted, all machines share the network, and none can be cut off.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.network import Network, NoNamespaces
from tests.servers import Postgres, free_port

ROOT = Path(__file__).parents[2]
STORE = 80_000_000
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
"""Ray gives up a machine after some twelve seconds, also on a machine that does much else."""
PLAIN = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_niceness": "0",
}
OWN_ADDRESS = "COTERIE_TEST_ADDRESS"
"""The environment variable of the address of the machine on which a program runs, for `connect_ray`."""
COMMON = [f"--object-store-memory={STORE}", "--min-worker-port=0", "--max-worker-port=0"]
PORTS = [
    "--metrics-export-port=20001",
    "--dashboard-agent-listen-port=20002",
    "--dashboard-agent-grpc-port=20003",
    "--runtime-env-agent-port=20004",
]


class ReachablePostgres(Postgres):
    """A PostgreSQL that listens at one more address."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.0.0.0/8 scram-sha-256\n")

    def command(self) -> list[str]:
        words = super().command()
        words[words.index("-h") + 1] = f"127.0.0.1,{self.address}"
        return words

    def fresh(self) -> str:
        """Make an empty database, and return its address for the machines."""
        return super().fresh().replace("@127.0.0.1:", f"@{self.address}:")


class Machine:
    """One machine: a process that is the parent of all others there."""

    def __init__(self, options: list[str], prefix: list[str], environment: dict[str, str]) -> None:
        self._command = [*prefix, sys.executable, "-m", "tests.cluster.host_process", *options]
        self._environment = {**os.environ, **PLAIN, **environment}
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=self._environment
        )

    def wait(self) -> None:
        """Wait until it has started. Where a machine does much else, Ray gives up waiting for its own parts: then again."""
        line = ""
        for _ in range(4):
            assert self.process.stdout is not None
            line = self.process.stdout.readline().decode().strip()
            if line == "started":
                return
            self.kill()
            self._start()
        raise AssertionError(f"a machine of Ray does not start: {line}")

    def processes(self) -> list[psutil.Process]:
        """Return its processes, but not the parent of all."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            return []

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.send_signal(number)

    def kill(self) -> None:
        """Kill all its processes, as a loss of power would."""
        end = time.monotonic() + 20.0  # noqa: TID251 - of a test
        while self.process.poll() is None and time.monotonic() < end:  # noqa: TID251 - as above
            self.signal(signal.SIGKILL)
            if self.processes():
                time.sleep(0.05)
            else:
                self.process.kill()
                self.process.wait()
        self._close()

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def parts(self, name: str) -> list[psutil.Process]:
        """Return the processes whose command has a text in it, such as the name of an actor's class."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if name in " ".join(process.cmdline()) or name == process.name():
                    found.append(process)
        return found

    @property
    def has_raylet(self) -> bool:
        """Whether its raylet lives: without it, it has to join again."""
        return any(_name(each) == "raylet" for each in self.processes())

    def kill_raylet(self) -> None:
        """Kill its raylet; the others end by themselves."""
        for process in self.processes():
            if _name(process) == "raylet":
                with suppress(psutil.Error):
                    process.kill()

    def ends(self, timeout: float) -> bool:
        """Wait until it has ended by itself, with all its processes; return whether it has."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self._close()
        return True

    def stop(self) -> None:
        """End it in order, as `coterie cluster stop` does: first its raylet, which ends the others."""
        for process in self.processes():
            if _name(process) == "raylet":
                with suppress(psutil.Error):
                    process.terminate()
        if not self.ends(15.0):
            self.kill()


class Fleet:
    """The machines. `store` is an address of PostgreSQL that all of them reach, if one was asked for."""

    def __init__(self, *, head: dict[str, Any] | None = None, head_environment: dict[str, str] | None = None) -> None:
        self.network: Network | None = None
        self.no_network = ""
        self._head_environment = head_environment or {}
        self._hosts: dict[str, tuple[str, list[str]]] = {}
        self.machines: dict[str, Machine] = {}
        self.postgres: Postgres | None = None
        self.store = ""
        try:
            self.network = Network()
        except NoNamespaces as error:
            self.no_network = str(error)
        self.host = self.network.address if self.network is not None else "127.0.0.1"
        self.port = free_port()
        self._head_options = head or {}
        self.folder = Path(tempfile.mkdtemp(prefix="coterie-fleet-"))
        try:
            self.start_head()
            self.head.wait()
        except BaseException:
            self.close()
            raise

    def start_head(self) -> None:
        """Start the head, or start it again where it was. It has no node."""
        # All machines have one table of processes, so Ray would take them for a head that runs at the address that it has noted.
        noted = Path("/tmp/ray/ray_current_cluster")  # noqa: S108 - Ray's own file
        with suppress(OSError):
            if noted.read_text().strip() == self.address:
                noted.unlink()
        options = [
            "--head",
            f"--port={self.port}",
            "--include-dashboard=false",
            f"--node-ip-address={self.host}",
            "--num-cpus=0",
        ]
        options.append(f"--system-config={json.dumps({**HEALTH, **self._head_options})}")
        self.head = Machine([*options, *COMMON], [], self._head_environment)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start_postgres(self) -> None:
        """Start a PostgreSQL with an empty database, of which `store` is the address."""
        self.postgres = ReachablePostgres(self.host) if self.network is not None else Postgres()
        self.postgres.start()
        self.store = self.postgres.fresh()

    def add(self, name: str, *, path: str = "") -> Machine:
        """Start a machine, or let one join again. It has joined when `wait` of it returns."""
        if name not in self._hosts:
            self._hosts[name] = self._new_host(name)
        address, prefix = self._hosts[name]
        options = [f"--address={self.address}", f"--labels=coterie.io/node={name}", "--num-cpus=1"]
        if address:
            # In a network of its own it need not look for ports.
            options += [f"--node-ip-address={address}", *PORTS]
        environment = {"PYTHONPATH": path} if path else {}
        machine = self.machines[name] = Machine([*options, *COMMON], prefix, environment)
        return machine

    def inside(self, name: str) -> list[str]:
        """Return the words that come before a command to run it on a machine."""
        address, prefix = self._hosts[name]
        return [*prefix, "env", f"{OWN_ADDRESS}={address}"]

    def _new_host(self, name: str) -> tuple[str, list[str]]:
        if self.network is None:
            return "", []
        address, prefix = self.network.add(name)
        # Its own folder of Ray: two machines that start at once would choose the same names for their sockets.
        own = self.folder / name
        own.mkdir()
        Path("/tmp/ray").mkdir(exist_ok=True)  # noqa: S108 - Ray's own folder
        return address, [*prefix, "unshare", "-m", "sh", "-c", f'mount --bind {own} /tmp/ray && exec "$@"', "sh"]

    def cut(self, name: str) -> None:
        """Lose all packets from and to a machine."""
        assert self.network is not None
        self.network.cut(name)

    def heal(self, name: str) -> None:
        """Let the packets through again."""
        assert self.network is not None
        self.network.heal(name)

    def close(self) -> None:
        """End everything."""
        for machine in [*self.machines.values(), *([self.head] if hasattr(self, "head") else [])]:
            machine.signal(signal.SIGCONT)
            machine.kill()
        if self.network is not None:
            self.network.close()
        if self.postgres is not None:
            self.postgres.remove()
        if not os.environ.get("COTERIE_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)


def connect_ray(address: str) -> None:
    """Connect a program to Ray at its own machine. All machines have one table of processes, in which Ray would find the head first."""
    import ray  # noqa: PLC0415 - it takes a second

    own = os.environ.get(OWN_ADDRESS)
    if own:
        ray.init(address=address, _node_ip_address=own, log_to_driver=False)


def _name(process: psutil.Process) -> str:
    try:
        return process.name() if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""
