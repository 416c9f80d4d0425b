"""The ports at which the members of a cluster listen for each other, for machines behind a firewall."""

from __future__ import annotations

import errno
import os
import socket

from coterie.errors import InvalidSetting
from coterie.errors.cluster import ClusterError

PORTS = "COTERIE_PORTS"
"""The environment variable with the ports of one machine, which goes before the setting of the cluster."""
_HIGHEST = 65_535
_BACKLOG = 128


def parse_ports(text: str, where: str) -> range:
    """Return the ports of a text such as ``20000-20100`` or ``20000``; none for an empty one. Raises `InvalidSetting`."""
    if not text:
        return range(0)
    first, dash, last = (part.strip() for part in text.partition("-"))
    last = last if dash else first
    whole = first.isdecimal() and last.isdecimal()
    if not whole or not 0 < int(first) <= int(last) <= _HIGHEST:
        raise InvalidSetting(where, text, "a port, or the first and the last one: 20000-20100")
    return range(int(first), int(last) + 1)


def own_ports(setting: str) -> range:
    """Return the ports of this machine: those of its environment, or else those of the cluster. Raises `InvalidSetting`."""
    own = os.environ.get(PORTS, "")
    return parse_ports(own, PORTS) if own else parse_ports(setting, "connect.settings.ports")


def listen(host: str, ports: range) -> socket.socket:
    """Return a socket that listens at the first free port of several; without any, at one that the system chooses.

    It listens at one address of this machine, or at all of them if `host` is the address of something before it. Raises
    `ClusterError` if all ports are taken.
    """
    family, address = socket.AF_INET, ""
    try:
        family, *_, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        socket.create_server((place[0], 0), family=family).close()
        address = str(place[0])
    except OSError:
        family = socket.AF_INET
    for port in ports or (0,):
        try:
            listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if not ports or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            continue
        listener.settimeout(0)
        return listener
    shown = f"{ports[0]}-{ports[-1]}" if len(ports) > 1 else str(ports[0])
    raise ClusterError(
        f"no port of {shown} is free on this machine: each node and each program needs one; give more ports by {PORTS}, or end other "
        "processes there"
    )
