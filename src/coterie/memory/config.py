"""How a store of memories is set up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from coterie.errors import InvalidMemoryConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The settings of a `TieredMemory`. Times are in seconds. Raises `InvalidMemoryConfig` if one makes no sense."""

    path: Path | str | None = None
    """The SQLite file of the long-term tier. Without it, and without `postgres_url`, all ends with the process."""
    postgres_url: str | None = None
    """``postgresql://…``: the long-term tier is kept there instead of in a file."""
    redis_url: str | None = None
    """``redis://…``, ``rediss://…`` or ``unix://…``: the short-term and the intermediate tier are kept there, and so are
    shared by processes, instead of in this one."""
    namespace: str = "coterie"
    """What the keys in Redis begin with."""
    cache_size: int = 10_000
    """Memories in the cache, at most; 0 for none."""
    cache_ttl: float | None = None
    """How long the cache is trusted; None means that nobody else writes. With a server it is 1 second unless given."""
    stm_ttl: float = 3_600.0
    """How long a memory stays short-term before it is decided on."""
    im_ttl: float = 86_400.0
    """How long it stays intermediate."""
    stm_size: int = 100_000
    """Short-term memories; at a maintenance the oldest of what is more move on before their time."""
    im_size: int = 1_000_000
    """Intermediate memories, likewise."""
    forget_below: float = 0.0
    """A memory whose strength (see `strength`) is less when its intermediate time is up expires. 0: none ever does."""
    busy_uses: int = 3
    """So many reads since the last maintenance bring a memory back to the short-term tier."""
    compression: bool = True
    """Whether the intermediate tier is compressed."""
    maintenance_interval: float | None = 60.0
    """How often maintenance runs by itself; None: only by hand."""
    read_workers: int = 4
    """Threads that do the reading and writing for event loops; each is started when it is first needed."""
    queue_size: int = 100_000
    """Memories that may wait to be written; a store that comes then waits."""
    batch_size: int = 1_024
    """Memories that are written together, at most."""
    write_timeout: float = 10.0
    """How long `store` waits for room, and for the disk if it is durable, and `flush` and `close` for all."""
    max_key_bytes: int = 1_024
    """A key in UTF-8."""
    max_value_bytes: int = 16 * 2**20
    """An encoded value."""

    def __post_init__(self) -> None:
        for name in ("stm_ttl", "im_ttl", "write_timeout", "maintenance_interval", "cache_ttl"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0 and not math.isnan(value)):
                raise InvalidMemoryConfig(name, value, "give seconds above 0")
        for name, least in (
            ("cache_size", 0),
            ("stm_size", 1),
            ("im_size", 1),
            ("busy_uses", 1),
            ("read_workers", 1),
            ("queue_size", 1),
            ("batch_size", 1),
            ("max_key_bytes", 1),
            ("max_value_bytes", 1),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidMemoryConfig(name, value, f"give a whole number of {least} or more")
        if not 0.0 <= self.forget_below <= 1.0:
            raise InvalidMemoryConfig("forget_below", self.forget_below, "give a strength from 0 to 1")
        if self.path is not None and "://" in str(self.path):
            raise InvalidMemoryConfig("path", self.path, "a server's address belongs in postgres_url or redis_url")
        if self.path is not None and self.postgres_url is not None:
            raise InvalidMemoryConfig("path", self.path, "long-term memories are kept in a file or in PostgreSQL, not in both")
        check_url("postgres_url", self.postgres_url, ("postgresql", "postgres"))
        check_url("redis_url", self.redis_url, ("redis", "rediss", "unix"))

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same memories."""
        return self.postgres_url is not None or self.redis_url is not None

    @property
    def trusted_for(self) -> float | None:
        """How long the cache is trusted."""
        return 1.0 if self.cache_ttl is None and self.shared else self.cache_ttl


def check_url(setting: str, url: str | None, schemes: tuple[str, ...]) -> None:
    """Raise `InvalidMemoryConfig` unless `url` is None or has one of the schemes, and a place to go to."""
    if url is None:
        return
    listed = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidMemoryConfig(setting, url, f"it is no URL ({error}); begin with {listed}") from None
    if parts.scheme not in schemes:
        raise InvalidMemoryConfig(setting, url, f"begin with {listed}")
    if not parts.netloc and not parts.path.strip("/") and not parts.query:
        raise InvalidMemoryConfig(setting, url, f"name a host, as in {schemes[0]}://localhost:{port or 1234}")
