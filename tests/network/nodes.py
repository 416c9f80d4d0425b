"""Topologies on free ports, and nodes in processes of their own."""

import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from coterie.network import NodeEntry, Topology

_RANDOM = random.Random(os.getpid())
QUICK: dict[str, Any] = {"reconnect": 0.02, "reconnect_most": 0.2}


def free_address() -> str:
    """Return an address below the ports that the system gives to outgoing connections."""
    while True:
        port = _RANDOM.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"127.0.0.1:{port}"


def topology(*names: str, **limits: Any) -> Topology:
    return Topology({name: NodeEntry(free_address()) for name in names}, **(QUICK | limits))


def write(path: Path, topology: Topology, **more: Any) -> Path:
    """Write a topology as a file; `more` has further lines for nodes."""
    lines = ["[limits]"]
    lines += [f"{key} = {str(getattr(topology, key)).lower()}" for key in (*QUICK, "max_message", "keep_alive", "encrypt")]
    for name, node in topology.nodes.items():
        lines += [f"[nodes.{name}]", f'address = "{node.address}"', *more.get(name, [])]
        if node.public_key:
            lines.append(f"public_key = '{node.public_key}'")
        if node.secret_key is not None:
            lines.append(f"secret_key = '{node.secret_key}'")
    path.write_text("\n".join(lines))
    return path


class Process:
    """A process that says in its first line that it is ready, and ends with the test."""

    def __init__(self, *command: str, cwd: Path | None = None) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )

    def line(self) -> str:
        """Return the next line that it prints; wait for it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise AssertionError(f"the process has ended: {self.end()}")
        return line

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return its status and what else it printed."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)
