"""Connections with a limit of time of their own, also for the address of a host's name, which the system may look up for long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from coterie.concurrency.threads import start_thread
from coterie.kernel import Countdown

Places: TypeAlias = list[tuple[Any, ...]]
"""The addresses of a host and a port, as `socket.getaddrinfo` gives them."""

T = TypeVar("T")


def within(limit: float, action: Callable[[], T], name: str) -> T:
    """Return the result of an action that nothing can end, or raise its error. It has a thread of a `name`, and goes on there if it is late.

    Raises `TimeoutError` after `limit` seconds.
    """
    found: list[T] = []
    errors: list[Exception] = []
    ended = threading.Event()

    def run() -> None:
        try:
            found.append(action())
        except Exception as error:  # noqa: BLE001 - the caller gets it
            errors.append(error)
        ended.set()

    start_thread(run, name)
    if not ended.wait(limit):
        raise TimeoutError(f"no answer within {limit:g} s")
    if errors:
        raise errors[0]
    return found[0]


def look_up(host: str, port: int, limit: float) -> Places:
    """Return the addresses of a host. Raises `socket.gaierror` if it has none, or none is found within `limit` seconds."""
    try:
        return within(limit, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "looks-up-host")
    except TimeoutError as error:
        problem = f"the name {host} has no address after {limit:g} s; look at the DNS, or give the address itself"
        raise socket.gaierror(socket.EAI_AGAIN, problem) from error
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} cannot be the name of a host") from error


def connect_to_any(places: Places, countdown: Countdown) -> socket.socket:
    """Return a connection to the first place that takes one. Raises `OSError`."""
    problem: OSError = TimeoutError("timed out")
    for family, kind, protocol, _, place in places:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(0.001, countdown.left() or 0.0))
            connection.connect(place)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return connection
    raise problem
