"""How a store of memories is set up."""

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
    """The settings of a `TieredMemory`. Times are in seconds. Raises `InvalidSetting` if one makes no sense."""

    path: Path | str | None = None
    """The SQLite file of the long-term tier. Without it, and without `postgres_url`, all ends with the process."""
    postgres_url: str | None = field(default=None, repr=False)
    """``postgresql://…``: the long-term tier is kept there instead of in a file."""
    redis_url: str | None = field(default=None, repr=False)
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
        for name in ("stm_ttl", "im_ttl", "write_timeout"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), above=0)
        for name in ("maintenance_interval", "cache_ttl"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), above=0, optional=True)
        for name in ("stm_size", "im_size", "busy_uses", "read_workers", "queue_size", "batch_size", "max_key_bytes"):
            check_number(f"MemoryConfig.{name}", getattr(self, name), least=1, whole=True)
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
            # The address of a server where a file could be: what is meant is clear.
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
                # The client would take the first instead.
                raise InvalidSetting(
                    "MemoryConfig.redis_url", without_secrets(self.redis_url), "the number of a database behind the host"
                )

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same memories."""
        return self.postgres_url is not None or self.redis_url is not None

    @property
    def trusted_for(self) -> float | None:
        """How long the cache is trusted."""
        return 1.0 if self.cache_ttl is None and self.shared else self.cache_ttl


def without_secrets(url: object) -> str:
    """Return an address as it may be shown: no more than its scheme if it may hold a password anywhere."""
    text = str(url)
    return text if "@" not in text and "?" not in text else f"{text.partition(':')[0]}://…"


def check_url(setting: str, url: str | None, schemes: tuple[str, ...]) -> None:
    """Raise `InvalidSetting` unless `url` is None or has one of the schemes, and a place to go to."""
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
