"""A network of its own on this machine: each host is a network namespace, which a test may cut off and let in again."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess


class NoNamespaces(Exception):
    """This machine permits no network namespaces."""


_SO_FAR = itertools.count()
_AT_MOST = 16
"""Networks of one process: the names and addresses of more would be those of another process."""


class Network:
    """Namespaces that are joined by a bridge. The bridge's own address, `address`, belongs to this machine itself.

    A process may have several at a time, each with names and addresses of its own.
    """

    def __init__(self) -> None:
        number = os.getpid() * _AT_MOST + next(_SO_FAR) % _AT_MOST
        self._tag = f"ct{number % 1_000_000}"
        self._subnet = f"10.{64 + number % 61}.{number // 61 % 251}"
        self._hosts: list[str] = []
        self.address = f"{self._subnet}.1"
        _ip("link", "add", self._tag, "type", "bridge")
        try:
            _ip("addr", "add", f"{self.address}/24", "dev", self._tag)
            _ip("link", "set", self._tag, "up")
            _ip("netns", "add", f"{self._tag}-try")
            _ip("netns", "delete", f"{self._tag}-try")
        except NoNamespaces:
            self.close()
            raise

    def add(self, name: str) -> tuple[str, list[str]]:
        """Add a host; return its address, and the words that come before a command to run it there."""
        space, inside, outside = f"{self._tag}-{name}", f"{self._tag}{name}i", f"{self._tag}{name}o"
        address = f"{self._subnet}.{len(self._hosts) + 2}"
        self._hosts.append(name)
        _ip("netns", "add", space)
        _ip("link", "add", inside, "netns", space, "type", "veth", "peer", "name", outside)
        _ip("link", "set", outside, "master", self._tag, "up")
        for words in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{address}/24", "dev", inside],
            ["link", "set", inside, "up"],
        ):
            _ip("-n", space, *words)
        _ip("-n", space, "route", "add", "default", "via", self.address)
        return address, ["ip", "netns", "exec", space]

    def cut(self, name: str) -> None:
        """Lose all packets from and to a host, in silence."""
        _ip("link", "set", f"{self._tag}{name}o", "nomaster")

    def heal(self, name: str) -> None:
        """Let the packets through again."""
        _ip("link", "set", f"{self._tag}{name}o", "master", self._tag)

    def close(self) -> None:
        """Remove everything."""
        for name in self._hosts:
            subprocess.run(["ip", "netns", "delete", f"{self._tag}-{name}"], capture_output=True, check=False)  # noqa: S603, S607 - our own
        subprocess.run(["ip", "link", "delete", self._tag], capture_output=True, check=False)  # noqa: S603, S607 - our own


def _ip(*words: str) -> None:
    if shutil.which("ip") is None:
        raise NoNamespaces("the command `ip` is missing")
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607 - our own
    if done.returncode != 0:
        raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")
