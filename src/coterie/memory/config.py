"""The configuration of a memory store."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number

_NO_FILE = (":memory:", "file:")
_POSTGRES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The settings of a `TieredMemory`. Times are in seconds. Raises `InvalidSetting` for an invalid one."""

    path: Path | str | None = None
    """The SQLite file of the long-term tier. Without it and without `postgres_url`, memories end with the process."""
    postgres_url: str | None = field(default=None, repr=False)
    """``postgresql://…``: store the long-term tier on this server instead of in a file."""
    redis_url: str | None = field(default=None, repr=False)
    """``redis://…``, ``rediss://…`` or ``unix://…``: store the short-term and intermediate tiers there, shared by processes,
    instead of in this process."""
    namespace: str = "coterie"
    """The prefix of the keys in Redis."""
    cache_size: int = 10_000
    """The maximum of memories in the cache; 0 disables the cache."""
    cache_ttl: float | None = None
    """How long a cached memory is valid. None: no other process writes. The default is 1 second with a server, None without."""
    stm_ttl: float = 3_600.0
    """How long a memory stays short-term before maintenance decides about it."""
    im_ttl: float = 86_400.0
    """How long a memory stays intermediate before maintenance decides about it."""
    stm_size: int = 100_000
    """The maximum of short-term memories; maintenance moves the oldest of the excess on early."""
    im_size: int = 1_000_000
    """The maximum of intermediate memories, likewise."""
    forget_below: float = 0.0
    """Expire an intermediate memory whose strength (see `strength`) is below this when its time is up. 0: expire none."""
    busy_uses: int = 3
    """The number of reads since the last maintenance that brings a memory back to the short-term tier."""
    compression: bool = True
    """Whether the intermediate tier is compressed."""
    maintenance_interval: float | None = 60.0
    """The seconds between maintenance runs; None: only `maintain()` runs it."""
    read_workers: int | None = None
    """The maximum of threads that read and write for event loops, instead of that of the sizing: two for each usable core. Each
    starts when it is first needed."""
    queue_size: int = 100_000
    """The maximum of memories that wait to be written; `store` blocks when the queue is full."""
    batch_size: int = 1_024
    """The maximum of memories in one write."""
    write_timeout: float = 10.0
    """How long `store` waits for room in the queue and for a durable write, and `flush` and `close` for all writes."""
    max_key_bytes: int = 1_024
    """The maximum length of a key in UTF-8."""
    max_value_bytes: int = 16 * 2**20
    """The maximum length of an encoded value."""

    def __post_init__(self) -> None:
        for name in ("stm_ttl", "im_ttl", "write_timeout"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), above=0)
        for name in ("maintenance_interval", "cache_ttl"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), above=0, optional=True)
        for name in ("stm_size", "im_size", "busy_uses", "queue_size", "batch_size", "max_key_bytes"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), least=1, whole=True)
        check_number("MemoryConfig.read_workers", self.read_workers, least=1, whole=True, optional=True)
        check_number("MemoryConfig.max_value_bytes", self.max_value_bytes, least=1, whole=True)
        check_number("MemoryConfig.cache_size", self.cache_size, whole=True)
        check_number("MemoryConfig.forget_below", self.forget_below)
        if self.forget_below > 1:
            raise InvalidSetting("MemoryConfig.forget_below", self.forget_below, "a strength from 0 to 1")
        check_instance("MemoryConfig.compression", self.compression, bool, "True or False")
        check_instance("MemoryConfig.namespace", self.namespace, str, "text")
        if not self.namespace or not self.namespace.isprintable():
            raise InvalidSetting("MemoryConfig.namespace", self.namespace, "a name that can be printed")
        self._check_path()
        self._check_servers()

    def _check_path(self) -> None:
        check_instance("MemoryConfig.path", self.path, (str, PathLike, type(None)), "a path, or None")
        if self.path is not None and ("\0" in str(self.path) or str(self.path).startswith(_NO_FILE) or not str(self.path)):
            raise InvalidSetting("MemoryConfig.path", self.path, "the name of a file, or None to keep nothing")
        if self.path is not None and str(self.path).startswith(_POSTGRES):
            # The address of a server in place of a file is unambiguous: accept it.
            if self.postgres_url is not None:
                raise InvalidSetting(
                    "MemoryConfig.path",
                    without_secrets(self.path),
                    "one place for long-term memories, and postgres_url is given",
                )
            object.__setattr__(self, "postgres_url", str(self.path))
            object.__setattr__(self, "path", None)
        if self.path is not None and "://" in str(self.path):
            raise InvalidSetting(
                "MemoryConfig.path", without_secrets(self.path), "a file, or postgresql://…; Redis belongs in redis_url"
            )
        if self.path is not None and self.postgres_url is not None:
            raise InvalidSetting("MemoryConfig.path", self.path, "a file or postgres_url for long-term memories, and not both")

    def _check_servers(self) -> None:
        check_url("MemoryConfig.postgres_url", self.postgres_url, ("postgresql", "postgres"))
        check_url("MemoryConfig.redis_url", self.redis_url, ("redis", "rediss", "unix"))
        if self.redis_url is not None and not self.redis_url.startswith("unix"):
            database = urlsplit(self.redis_url).path.strip("/")
            if database and not database.isdecimal():
                # The client would use database 0 instead.
                raise InvalidSetting(
                    "MemoryConfig.redis_url", without_secrets(self.redis_url), "the number of a database behind the host"
                )

    @property
    def shared(self) -> bool:
        """True if other processes may write to the same memories."""
        return self.postgres_url is not None or self.redis_url is not None

    @property
    def trusted_for(self) -> float | None:
        """The seconds for which a cached memory is valid; None: always."""
        return 1.0 if self.cache_ttl is None and self.shared else self.cache_ttl


def without_secrets(url: object) -> str:
    """Return a URL for display: only its scheme if the rest may contain a password."""
    text = str(url)
    return text if "@" not in text and "?" not in text else f"{text.partition(':')[0]}://…"


def check_url(setting: str, url: str | None, schemes: tuple[str, ...]) -> None:
    """Raise `InvalidSetting` for a URL without one of the schemes, or without host and path; accept None."""
    if url is None:
        return
    listed = " or ".join(f"{scheme}://" for scheme in schemes)
    check_instance(setting, url, str, f"a URL that begins with {listed}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        need = f"a URL that begins with {listed}, with a number for its port and its password quoted"
        raise InvalidSetting(setting, without_secrets(url), need) from None
    if parts.scheme not in schemes:
        raise InvalidSetting(setting, without_secrets(url), f"a URL that begins with {listed}")
    if not parts.netloc and not parts.path.strip("/") and not parts.query:
        raise InvalidSetting(
            setting, without_secrets(url), f"a URL with a host, such as {schemes[0]}://localhost:{port or 1234}"
        )
