"""A cluster of Ray on this machine: a head without a node of ours, and two machines, `a` and `b`, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from coterie.cluster import Cluster
from tests.servers import Postgres

STORE = 80_000_000
SETTINGS = {"beat": 0.25, "lost_after": 4.0, "lease": 4.0, "idle": 30.0}
"""Quick, so that faults are found in a test's time; slow enough for a machine that does much else."""


class Machines:
    """Ray on this machine. Each of its machines is a process with children, which a test may kill or freeze."""

    def __init__(self) -> None:
        os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
        from ray.cluster_utils import Cluster as RayCluster  # noqa: PLC0415 - it takes a second

        config = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_timeout_ms": 1000}
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        self.ray = RayCluster(
            initialize_head=True, head_node_args={**head, "_system_config": {**config, "health_check_failure_threshold": 3}}
        )
        self.nodes: dict[str, Any] = {}

    @property
    def address(self) -> str:
        address: str = self.ray.address
        return address

    def add(
        self, name: str, *, labels: dict[str, str] | None = None, resources: dict[str, float] | None = None, path: str = ""
    ) -> None:
        """Start a machine."""
        options: dict[str, Any] = {"labels": {"coterie.io/node": name, **(labels or {})}, "resources": resources or {}}
        if path:
            options["env_vars"] = {"PYTHONPATH": path}
        self.nodes[name] = self.ray.add_node(wait=False, num_cpus=1, object_store_memory=STORE, **options)

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes of a machine: its raylet, and all that this has started."""
        raylet = psutil.Process(self._raylet(name).pid)
        return [raylet, *raylet.children(recursive=True)]

    def kill(self, name: str) -> None:
        """Kill a machine with all its processes, as a loss of power would."""
        for process in self.processes(name):
            process.send_signal(signal.SIGKILL)
        self._raylet(name).wait()
        self.ray.remove_node(self.nodes.pop(name), allow_graceful=False)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to all processes of a machine."""
        for process in self.processes(name):
            process.send_signal(number)

    def _raylet(self, name: str) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self.nodes[name].all_processes["raylet"][0].process
        return process

    def close(self) -> None:
        """End all processes."""
        mine = [each for each in psutil.Process().children(recursive=True) if _is_of_ray(each)]
        end: Any = self.ray.shutdown
        end()
        for process in mine:
            if process.is_running():
                process.kill()


def _is_of_ray(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "raylet" in command or "gcs_server" in command or "ray::" in command or "/ray/" in command


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """The machines `a`, which has the label zone=x and a gpu, and `b`."""
    try:
        machines = Machines()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the machine's
        pytest.skip(f"Ray cannot start on this machine: {error}")
    try:
        machines.add("a", labels={"zone": "x"}, resources={"gpu": 1.0, "mirror": 1.0})
        machines.add("b")
        yield machines
    finally:
        machines.close()


@pytest.fixture(scope="module")
def cluster(machines: Machines, postgres_process: Postgres) -> Iterator[Cluster]:
    """A program that is connected to the cluster of both machines."""
    settings = {**SETTINGS, "store": postgres_process.fresh()}
    with Cluster.connect(machines.address, nodes=2, settings=settings, timeout=60.0, name="tests") as cluster:
        yield cluster
