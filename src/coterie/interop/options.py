"""How conversations are served, as one value."""

from __future__ import annotations

import ipaddress

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number

_PORTS = 65_535


class ServingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where, and within which limits. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8800
    """0 takes any that is free."""
    expose: bool = False
    """Whether others than this machine may connect. Without it only a loopback address is taken."""
    origins: tuple[str, ...] = ()
    """Web pages that may call from a browser, such as ``https://chat.example.org``."""
    body_limit: int = 1_000_000
    """Bytes of a request at most."""
    open_threads: int = 1_000
    """Threads that are kept open though nobody has asked for them for a minute, and nothing is under way in them."""
    heartbeat: float = 15.0
    """After how long a silence a stream sends a comment, so that nobody between takes it for dead."""
    drain: float = 5.0
    """How long requests may take to end when the server is stopped."""

    def __post_init__(self) -> None:
        check_number("ServingOptions.port", self.port, whole=True)
        if self.port > _PORTS:
            raise InvalidSetting("ServingOptions.port", self.port, f"a port, at most {_PORTS}")
        check_number("ServingOptions.body_limit", self.body_limit, least=1, whole=True)
        check_number("ServingOptions.open_threads", self.open_threads, least=1, whole=True)
        check_number("ServingOptions.heartbeat", self.heartbeat, above=0)
        check_number("ServingOptions.drain", self.drain)
        if "*" in self.origins:
            raise InvalidSetting(
                "ServingOptions.origins", "*", "the addresses of your own pages, such as https://chat.example.org"
            )
        if not self.expose and not is_loopback(self.host):
            need = "a loopback address such as 127.0.0.1; to let other machines in, expose it and set a token of your own"
            raise InvalidSetting("ServingOptions.host", self.host, need)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
