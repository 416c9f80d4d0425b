"""The options of a console."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.kernel.access import is_loopback

_PORTS = 65_535


class ConsoleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Address and limits of a console. Times are in seconds. Raises `InvalidSetting`."""

    host: str = "127.0.0.1"
    port: int = 8790
    """0 takes a free port."""
    expose: bool = False
    """True allows connections from other machines. Without it `host` must be a loopback address."""
    read_only: bool = False
    """True refuses all actions."""
    audit: Path | None = None
    """A file to which each action is appended, as a line of JSON; without it, only the log and the page have them."""
    period: float = 0.5
    """The shortest time between two updates of a page."""
    share: float = 0.007
    """The part of one processor that the updates of a page may take: costly pages are updated less often."""
    slowest: float = 5.0
    """The longest time between two updates of a page that costs more, as far as `most_share` allows."""
    most_share: float = 0.012
    """The part of one processor that the updates of a page take at most, except while a page reads a long log for the first time."""
    heartbeat: float = 15.0
    """Silence after which a stream sends a comment, so that proxies keep the connection."""
    rows: int = 100
    """Rows of one page of a table."""

    def __post_init__(self) -> None:
        check_number("ConsoleOptions.port", self.port, whole=True)
        if self.port > _PORTS:
            raise InvalidSetting("ConsoleOptions.port", self.port, f"a port, at most {_PORTS}")
        check_number("ConsoleOptions.period", self.period, above=0)
        check_number("ConsoleOptions.share", self.share, above=0)
        check_number("ConsoleOptions.slowest", self.slowest, above=0)
        check_number("ConsoleOptions.most_share", self.most_share, above=0)
        check_number("ConsoleOptions.heartbeat", self.heartbeat, above=0)
        check_number("ConsoleOptions.rows", self.rows, least=1, whole=True)
        if not self.expose and not is_loopback(self.host):
            need = "a loopback address such as 127.0.0.1; to allow other machines, set expose and a token of your own"
            raise InvalidSetting("ConsoleOptions.host", self.host, need)
