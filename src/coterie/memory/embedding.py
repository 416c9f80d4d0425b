"""Embeddings: the contract of an embedder, three implementations, and an index of the vectors of one agent's memories."""

from __future__ import annotations

import hashlib
import heapq
import json
import math
import struct
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from coterie.concurrency import Rank, new_lock
from coterie.errors import EmbeddingFailed, ExtraMissing, InvalidSetting, describe
from coterie.memory.contract import Archive


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors from texts. Safe from many threads; may block."""

    @property
    def model(self) -> str:
        """The name of the model. Vectors of different models are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector for each text, all of one dimension."""
        ...


def pack_vector(vector: Sequence[float]) -> bytes:
    """Return a vector as little-endian 32-bit floats, of length 1."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not vector or not math.isfinite(length):
        raise EmbeddingFailed("a vector", "it is empty, or not finite")
    return struct.pack(f"<{len(vector)}f", *(value / length if length else 0.0 for value in vector))


class CachedEmbedder:
    """A wrapper that calls an embedder once for each text. Safe from many threads; `_lock` guards the cache."""

    def __init__(self, embedder: Embedder, size: int = 10_000) -> None:
        self.hits = 0
        self.misses = 0
        self._embedder = embedder
        self._size = size
        self._lock = new_lock(Rank.RECORDS)
        self._vectors: OrderedDict[bytes, Sequence[float]] = OrderedDict()

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._embedder.model

    def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector for each text."""
        digests = [hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            known = {digest: self._vectors[digest] for digest in digests if digest in self._vectors}
            for digest in known:
                self._vectors.move_to_end(digest)
            self.hits += sum(digest in known for digest in digests)
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        if missing:
            made = self._embedder.embed(list(missing.values()))
            if len(made) != len(missing):
                raise EmbeddingFailed(self.model, f"{len(missing)} texts were given, and {len(made)} vectors came back")
            known.update(zip(missing, made, strict=True))
            with self._lock:
                self.misses += len(missing)
                self._vectors.update((digest, known[digest]) for digest in missing)
                while len(self._vectors) > self._size:
                    self._vectors.popitem(last=False)
        return [known[digest] for digest in digests]


class OpenAIEmbedder:
    """A client of any server with OpenAI's embeddings protocol. Safe from many threads. Raises `InvalidSetting` for a URL."""

    def __init__(self, model: str, url: str = "https://api.openai.com/v1", api_key: str = "", timeout: float = 30.0) -> None:
        if not url.startswith(("https://", "http://")):
            raise InvalidSetting("OpenAIEmbedder.url", url, "a URL that begins with https:// or http://")
        self._model = model
        self._url = f"{url.rstrip('/')}/embeddings"
        self._key = api_key
        self._timeout = timeout

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text. Raises `EmbeddingFailed`."""
        body = json.dumps({"model": self._model, "input": list(texts), "encoding_format": "float"}).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The constructor checked the scheme.
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                answer = json.loads(response.read())
            rows = sorted(answer["data"], key=lambda row: row["index"])
            return [[float(value) for value in row["embedding"]] for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            # An HTTP error is an OSError; its body contains the reason.
            detail = error.read(300).decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
            raise EmbeddingFailed(self._url, f"{describe(error)} {detail}".strip()) from error


class LocalEmbedder:
    """A small model on this machine, by fastembed. It is downloaded on first use.

    Safe from many threads. Raises `ExtraMissing` without the extra `embed`.
    """

    def __init__(self, model: str = "BAAI/bge-small-en-v1.5") -> None:
        try:
            from fastembed import TextEmbedding  # noqa: PLC0415 - it is optional, and slow to import
        except ImportError as error:
            raise ExtraMissing("LocalEmbedder", "embed") from error
        self._model = model
        self._text: Any = TextEmbedding(model)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text."""
        return [[float(value) for value in vector] for vector in self._text.embed(list(texts))]


_PAGE = 10_000


class VectorIndex:
    """Follows the archive for one agent and model, and finds nearest vectors by brute force.

    A search of a hundred thousand vectors takes a few milliseconds. Safe from many threads; `_lock` guards everything. The
    vector of a deleted memory stays until a caller that fails to find the memory drops it.
    """

    def __init__(self, agent: str, model: str) -> None:
        try:
            import numpy as np  # noqa: PLC0415 - it is optional
        except ImportError as error:
            raise ExtraMissing("recall by meaning", "vectors") from error
        self._numpy = np
        self._agent = agent
        self._model = model
        self._lock = new_lock(Rank.MIND)
        self._version = 0
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []
        self._matrix: Any = None

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def catch_up(self, archive: Archive) -> None:
        """Load the vectors that the archive received since the last call."""
        with self._lock:
            while page := archive.vectors(self._agent, self._model, self._version, _PAGE):
                for each in page:
                    self._take(each.key, each.vector)
                self._version = page[-1].version

    def nearest(self, vector: bytes, count: int) -> list[tuple[str, float]]:
        """Return (key, cosine) of the nearest vectors, nearest first."""
        np = self._numpy
        with self._lock:
            if not self._rows or len(vector) != self._matrix.shape[1] * 4:
                return []
            near = self._matrix[: len(self._keys)] @ np.frombuffer(vector, dtype="<f4")
            most = min(len(self._keys), count + len(self._keys) - len(self._rows))
            places = np.argpartition(-near, most - 1)[:most]
            found = [(float(near[place]), self._keys[place]) for place in places if self._rows.get(self._keys[place]) == place]
        return [(key, score) for score, key in heapq.nlargest(count, found)]

    def drop(self, key: str) -> None:
        """Remove a memory."""
        with self._lock:
            self._rows.pop(key, None)

    def _take(self, key: str, vector: bytes) -> None:
        np = self._numpy
        row = np.frombuffer(vector, dtype="<f4")
        if self._matrix is None:
            self._matrix = np.zeros((64, len(row)), dtype="<f4")
        if len(row) != self._matrix.shape[1]:
            # The model changed its dimension; such vectors cannot be compared.
            return
        place = self._rows.get(key)
        if place is None:
            place = len(self._keys)
            if place == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._keys.append(key)
            self._rows[key] = place
        self._matrix[place] = row
