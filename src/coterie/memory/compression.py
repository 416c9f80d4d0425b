"""Compression of a tier with Zstandard and trained dictionaries.

A small record grows when it is compressed alone. With a dictionary of the content that records share, it shrinks to less than
half. A dictionary is trained once there are enough samples, stored under a number beside the data, and loaded by every reader.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import zstandard
from msgspec.structs import replace

from coterie.concurrency import Rank, new_lock
from coterie.memory.contract import Backend, Change, Delete, Put, RecordFilter
from coterie.memory.record import MemoryKind, MemoryRecord

DICTIONARY_PREFIX = "\x1fdictionary/"
"""The key prefix of dictionaries. The key of a memory cannot begin with it."""
_DICTIONARY_BYTES = 16 * 1024
_ENOUGH = 1_000
"""The minimum of new records before a dictionary is trained."""
_ENOUGH_BYTES = 128 * 1024
_MAX_SAMPLES = 4_000
_WORSE = 0.8
"""Train a new dictionary when the compression ratio falls below this part of the ratio at the last training."""
_PLAIN, _ZSTD, _DICTIONARY = b"\x00", b"\x01", b"\x02"
_FIELDS = msgspec.msgpack.Decoder(tuple[bytes, str, str])


@dataclass(frozen=True, slots=True)
class CompressionStatistics:
    """Counters of a compressor."""

    records: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dictionaries: int = 0
    """The number of dictionaries; the newest is in use."""

    @property
    def ratio(self) -> float:
        """Bytes in divided by bytes out; 1 before the first record."""
        return self.bytes_in / self.bytes_out if self.bytes_out else 1.0


class Compressor:
    """Compresses and decompresses byte strings. Safe from many threads; `_lock` guards all but the finished codecs."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._number = 0
        self._dictionaries: dict[int, zstandard.ZstdCompressionDict] = {}
        self._samples: deque[bytes] = deque(maxlen=_MAX_SAMPLES)
        self._fresh = 0
        self._ratio_then = 0.0
        self._recent = (0, 0)
        self._records = self._bytes_in = self._bytes_out = 0

    def statistics(self) -> CompressionStatistics:
        """Return the counters."""
        with self._lock:
            return CompressionStatistics(self._records, self._bytes_in, self._bytes_out, len(self._dictionaries))

    def compress(self, data: bytes) -> bytes:
        """Return `data` compressed, or uncompressed behind a one-byte mark if that is shorter."""
        number = self._number
        dictionary = self._dictionaries.get(number)
        # Threads may not share a compressor; creating one costs a few microseconds.
        best = _PLAIN + data
        if dictionary is not None:
            body = zstandard.ZstdCompressor(level=3, dict_data=dictionary, write_checksum=False).compress(data)
            best = min(best, _DICTIONARY + number.to_bytes(4, "big") + body, key=len)
        elif len(data) > 100:  # noqa: PLR2004 - shorter data grow
            best = min(best, _ZSTD + zstandard.ZstdCompressor(level=3).compress(data), key=len)
        with self._lock:
            self._samples.append(data)
            self._fresh += 1
            self._records += 1
            self._bytes_in += len(data)
            self._bytes_out += len(best)
            self._recent = (self._recent[0] + len(data), self._recent[1] + len(best))
        return best

    def decompress(self, data: bytes) -> bytes:
        """Return the data that `compress` received. Raises `KeyError` with the number of an unknown dictionary."""
        kind, body = data[:1], data[1:]
        if kind == _PLAIN:
            return body
        if kind == _ZSTD:
            return zstandard.ZstdDecompressor().decompress(body)
        dictionary = self._dictionaries[int.from_bytes(body[:4], "big")]
        return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(body[4:])

    def learn(self, number: int, dictionary: bytes) -> None:
        """Add a dictionary, and use it for compression if it is the newest."""
        with self._lock:
            self._dictionaries[number] = zstandard.ZstdCompressionDict(dictionary)
            self._number = max(self._number, number)

    def train(self) -> tuple[int, bytes] | None:
        """Return the number and bytes of a new dictionary; None if samples are few or it would not help.

        The compressor uses it only after `learn`, so that the caller can store it first.
        """
        with self._lock:
            length, shortened = self._recent
            ratio = length / shortened if shortened else 1.0
            if self._fresh < _ENOUGH or length < _ENOUGH_BYTES:
                return None
            if self._number and self._ratio_then == 0.0:
                self._ratio_then = ratio
            self._fresh, self._recent = 0, (0, 0)
            if self._number and ratio >= self._ratio_then * _WORSE:
                return None
            samples: list[bytes | bytearray | memoryview] = list(self._samples)
            number = self._number + 1
            self._ratio_then = 0.0
        try:
            return number, zstandard.train_dictionary(_DICTIONARY_BYTES, samples).as_bytes()
        except zstandard.ZstdError:
            # The samples have nothing in common, or are all equal.
            return None


class CompressedBackend:
    """A wrapper that compresses values and texts of records. Keys, times and numbers stay readable.

    It is as safe from many threads as the wrapped backend.
    """

    def __init__(self, backend: Backend) -> None:
        self.compressor = Compressor()
        self._backend = backend
        self._known = False

    @property
    def persistent(self) -> bool:
        """True if the content outlives this process."""
        return self._backend.persistent

    def maintain(self) -> bool:
        """Train a new dictionary if one is due. Return whether it did."""
        self._load()
        trained = self.compressor.train()
        if trained is None:
            return False
        number, dictionary = trained
        record = MemoryRecord(
            f"dictionary-{number}", f"{DICTIONARY_PREFIX}{number:010}", 1, dictionary, kind=MemoryKind.INTERNAL
        )
        # If another process was faster, this one loads the dictionary of the other.
        self._backend.write([Put(record, expected=0)])
        kept = self._backend.get([record.key])[record.key]
        self.compressor.learn(number, kept.value)
        return True

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Compress and apply the changes in order, and return for each whether it was applied."""
        self._load()
        return self._backend.write(
            [change if isinstance(change, Delete) else replace(change, record=self._pack(change.record)) for change in changes]
        )

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys."""
        found = self._backend.get(keys)
        return {key: self._unpack(record) for key, record in found.items()} if found else found

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return records in the order of their keys."""
        # Dictionaries sort before all other keys, so only the beginning can contain them.
        after = max(after, DICTIONARY_PREFIX + "~")
        return [self._unpack(record) for record in self._backend.scan(after, limit)]

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest records, newest first."""
        # The fields of a compressed value are unknown to the backend.
        below = replace(which, where=())
        wanted = limit
        while True:
            found = self._backend.recent(below, wanted)
            records = [self._unpack(record) for record in found if not record.key.startswith(DICTIONARY_PREFIX)]
            chosen = [record for record in records if which.names_fields_of(record)] if which.where else records
            if not which.where or len(chosen) >= limit or len(found) < wanted:
                return chosen[:limit]
            wanted *= 4

    def count(self) -> int:
        """Return the number of records without dictionaries."""
        self._load()
        return self._backend.count() - self.compressor.statistics().dictionaries

    def close(self) -> None:
        """Close the wrapped backend."""
        self._backend.close()

    def _pack(self, record: MemoryRecord) -> MemoryRecord:
        body = msgspec.msgpack.encode((record.value, record.text, record.context))
        return replace(record, value=self.compressor.compress(body), text="", context="")

    def _unpack(self, record: MemoryRecord) -> MemoryRecord:
        try:
            body = self.compressor.decompress(record.value)
        except KeyError:
            self._known = False
            self._load()
            body = self.compressor.decompress(record.value)
        value, text, context = _FIELDS.decode(body)
        return replace(record, value=value, text=text, context=context)

    def _load(self) -> None:
        """Load the stored dictionaries once, and again after `decompress` met an unknown one."""
        if self._known:
            return
        for number in itertools.count(1):
            key = f"{DICTIONARY_PREFIX}{number:010}"
            kept = self._backend.get([key])
            if not kept:
                break
            self.compressor.learn(number, kept[key].value)
        self._known = True
