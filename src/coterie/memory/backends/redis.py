"""A tier in Redis, shared by processes: the extra `redis`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from coterie.errors import ExtraMissing, InvalidSetting, TierUnavailable
from coterie.memory.config import without_secrets
from coterie.memory.contract import Change, Delete, Put, RecordFilter
from coterie.memory.record import MemoryRecord

T = TypeVar("T")

_TIMEOUT = 5.0
"""The maximum seconds for a response."""
_STATES = (
    "DB index",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "BUSY",
    "max number",
)
"""Parts of error messages that name a temporary state of the server: a later retry may succeed."""
_PIPELINE = 500
"""The number of changes in one pipeline."""

# Redis keys begin with the name of the tier. A record is at `…:r:KEY`, all keys in order at `…:keys`, the times of one agent's
# records at `…:t:AGENT`, those of all records at `…:t`. The scripts keep them consistent.
_PUT = """
local there = redis.call('HGET', KEYS[1], 'v')
if ARGV[3] == '' then
  if there and (#there > #ARGV[1] or (#there == #ARGV[1] and there > ARGV[1])) then return 0 end
elseif (there or '0') ~= ARGV[3] then return 0 end
local before = redis.call('HGET', KEYS[1], 't')
if before then redis.call('ZREM', before, ARGV[4]); redis.call('ZREM', KEYS[3], ARGV[4]) end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'd', ARGV[2], 't', KEYS[4])
redis.call('ZADD', KEYS[2], 0, ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[4])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[4])
return 1
"""
_DELETE = """
local there = redis.call('HGET', KEYS[1], 'v')
if not there then return 1 end
if #there > #ARGV[1] or (#there == #ARGV[1] and there > ARGV[1]) then return 0 end
redis.call('ZREM', redis.call('HGET', KEYS[1], 't'), ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(MemoryRecord)


class RedisBackend:
    """Stores the records of a tier in one database of a Redis server. Safe from many threads and processes.

    Each change is atomic; a batch is one pipeline, but changes of other clients may come between. Records have no TTL in Redis:
    maintenance decides about each memory, and records the decision. The durability of a change when `write` returns depends on the
    configuration of the server.
    """

    persistent = True

    def __init__(self, url: str, name: str) -> None:
        """Prepare the client; it connects on first use. `name` is the key prefix, different for each tier."""
        try:
            import redis  # noqa: PLC0415 - it is optional
        except ImportError as error:
            raise ExtraMissing("a redis_url", "redis") from error
        self._faults: tuple[type[Exception], ...] = (
            redis.exceptions.ConnectionError,
            redis.exceptions.TimeoutError,
            redis.exceptions.BusyLoadingError,
            redis.exceptions.ReadOnlyError,
            redis.exceptions.OutOfMemoryError,
            OSError,
        )
        self._refusal: type[Exception] = redis.exceptions.ResponseError
        self._name = name
        try:
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, health_check_interval=30
            )
        except (ValueError, redis.exceptions.RedisError) as error:
            raise InvalidSetting(
                "MemoryConfig.redis_url", without_secrets(url), f"an address that Redis understands ({error})"
            ) from error
        self._put = self._client.register_script(_PUT)
        self._delete = self._client.register_script(_DELETE)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Apply the changes in order, and return for each whether it was applied."""
        done: list[bool] = []
        for first in range(0, len(changes), _PIPELINE):
            part = changes[first : first + _PIPELINE]
            done += self._ask(partial(self._write, part))
        return done

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys."""
        found: dict[str, MemoryRecord] = {}
        for first in range(0, len(keys), _PIPELINE):
            part = keys[first : first + _PIPELINE]
            found.update(self._ask(partial(self._get, part)))
        return found

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return records in the order of their keys."""
        # Members with equal scores are ordered by their bytes, and UTF-8 keeps the order of code points.
        while True:
            start = b"(" + after.encode() if after else b"-"
            keys = self._ask(partial(self._keys, start, limit))
            if not keys:
                return []
            names = [key.decode() for key in keys]
            there = self.get(names)
            if there:
                return [there[name] for name in names if name in there]
            # All of them were deleted in the meantime.
            after = names[-1]

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest records, newest first."""
        found: dict[str, MemoryRecord] = {}
        for line in [self._key("t", agent) for agent in dict.fromkeys(which.agents)] or [self._key("t")]:
            found.update(self._recent(line, which, limit))
        return sorted(found.values(), key=lambda record: (record.created, record.version), reverse=True)[:limit]

    def count(self) -> int:
        """Return the number of records."""
        return int(self._ask(lambda: self._client.zcard(self._key("keys"))))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _recent(self, line: str, which: RecordFilter, limit: int) -> dict[str, MemoryRecord]:
        """Return the newest records in one sorted set, including every record as new as the last."""
        lowest = "-inf" if which.after is None else repr(which.after)
        highest = "+inf" if which.before is None else f"({which.before!r}"
        found: dict[str, MemoryRecord] = {}
        offset, size = 0, max(limit, 16)
        while True:
            keys = self._ask(partial(self._page, line, highest, lowest, offset, size))
            records = self.get([key.decode() for key, _ in keys])
            found.update(
                (key, each) for key, each in records.items() if which.names_kind_of(each) and which.names_fields_of(each)
            )
            times = sorted((each.created for each in found.values()), reverse=True)
            # Among equal times the newest version comes first, which Redis does not know: read to the end of that time.
            if len(keys) < size or (len(times) >= limit and float(keys[-1][1]) < times[limit - 1]):
                return found
            offset += size

    def _keys(self, start: bytes, limit: int) -> list[bytes]:
        keys: list[bytes] = self._client.zrange(self._key("keys"), start, b"+", bylex=True, offset=0, num=limit)
        return keys

    def _page(self, line: str, highest: str, lowest: str, offset: int, size: int) -> list[tuple[bytes, float]]:
        page: list[tuple[bytes, float]] = self._client.zrange(
            line, highest, lowest, desc=True, byscore=True, offset=offset, num=size, withscores=True
        )
        return page

    def _write(self, changes: Sequence[Change]) -> list[bool]:
        pipe = self._client.pipeline(transaction=False)
        for change in changes:
            if isinstance(change, Delete):
                keys = [self._key("r", change.key), self._key("keys"), self._key("t")]
                self._delete(keys=keys, args=[str(change.version), change.key], client=pipe)
            else:
                self._put(keys=self._places(change.record), args=self._arguments(change), client=pipe)
        return [bool(answer) for answer in pipe.execute()]

    def _places(self, record: MemoryRecord) -> list[str]:
        return [self._key("r", record.key), self._key("keys"), self._key("t"), self._key("t", record.agent)]

    @staticmethod
    def _arguments(change: Put) -> list[Any]:
        record = change.record
        expected = "" if change.expected is None else str(change.expected)
        return [str(record.version), _ENCODER.encode(record), expected, record.key, repr(record.created)]

    def _get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.hget(self._key("r", key), "d")
        return {key: _DECODER.decode(body) for key, body in zip(keys, pipe.execute(), strict=True) if body is not None}

    def _key(self, *parts: str) -> str:
        return ":".join((self._name, *parts))

    def _ask(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except self._faults as error:
            raise TierUnavailable(f"Redis ({self._name})", error) from error
        except self._refusal as error:
            # These errors are about the state of the server or the login, not about the command.
            if any(state in str(error) for state in _STATES):
                raise TierUnavailable(f"Redis ({self._name})", error) from error
            raise
