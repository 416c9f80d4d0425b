"""Embeddings: the contract of an embedder, and three implementations."""

from __future__ import annotations

import hashlib
import inspect
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
from coterie.kernel import check_instance, check_number
from coterie.memory.embeddings.styles import PASSAGE, EmbeddingStyle, style_of


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors from texts. Safe from many threads; may block."""

    @property
    def model(self) -> str:
        """The name of the model. Vectors of different models are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector for each text, all of one dimension.

        If it has a parameter `kind`, it is "query" for questions and "passage" for memories. Most models embed them differently.
        """
        ...


def pack_vector(vector: Sequence[float]) -> bytes:
    """Return a vector as little-endian 32-bit floats, of length 1."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length) or not len(vector):
        raise EmbeddingFailed("a vector", "it is empty, or not finite")
    return struct.pack(f"<{len(vector)}f", *(value / length if length else 0.0 for value in vector))


class CachedEmbedder:
    """A wrapper that calls an embedder once for each text and kind, and checks its vectors.

    Safe from many threads; `_lock` guards the cache.
    """

    def __init__(self, embedder: Embedder, size: int = 10_000) -> None:
        self.hits = 0
        self.misses = 0
        self._embedder = embedder
        self._size = size
        self._lock = new_lock(Rank.RECORDS)
        self._vectors: OrderedDict[bytes, Sequence[float]] = OrderedDict()
        self._takes_kind = _takes_kind(embedder)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._embedder.model

    @property
    def space(self) -> str:
        """The name under which vectors are stored: that of the model, and how it embeds passages."""
        return str(getattr(self._embedder, "space", self._embedder.model))

    @property
    def similar(self) -> float | None:
        """The cosine from which a passage has to do with a question, if it is known."""
        similar = getattr(self._embedder, "similar", None)
        return float(similar) if isinstance(similar, int | float) else None

    def embed(self, texts: Sequence[str], kind: str = PASSAGE) -> list[Sequence[float]]:
        """Return one vector for each text. Raises `EmbeddingFailed` for other vectors than one of one length for each."""
        mark = kind if self._takes_kind else ""
        digests = [hashlib.blake2b(f"{mark}\n{text}".encode(errors="surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            known = {digest: self._vectors[digest] for digest in digests if digest in self._vectors}
            for digest in known:
                self._vectors.move_to_end(digest)
            self.hits += sum(digest in known for digest in digests)
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        if missing:
            made = self._make(list(missing.values()), kind)
            known.update(zip(missing, made, strict=True))
            with self._lock:
                self.misses += len(missing)
                self._vectors.update((digest, known[digest]) for digest in missing)
                while len(self._vectors) > self._size:
                    self._vectors.popitem(last=False)
        return [known[digest] for digest in digests]

    def _make(self, texts: list[str], kind: str) -> Sequence[Sequence[float]]:
        call: Any = self._embedder.embed
        made = call(texts, kind=kind) if self._takes_kind else call(texts)
        if len(made) != len(texts):
            raise EmbeddingFailed(self.model, f"{len(texts)} texts were given, and {len(made)} vectors came back")
        lengths = sorted({len(vector) for vector in made})
        if len(lengths) > 1:
            raise EmbeddingFailed(self.model, f"vectors of different lengths came back: {lengths[0]} and {lengths[-1]}")
        return list(made)


def _takes_kind(embedder: Embedder) -> bool:
    """Return whether the method `embed` takes the kind of its texts."""
    try:
        parameters = inspect.signature(embedder.embed).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "kind" or each.kind is each.VAR_KEYWORD for each in parameters)


class _StyledEmbedder:
    """The names and limits of a model whose style is known or given."""

    def __init__(self, model: str, style: EmbeddingStyle | None) -> None:
        self._model = model
        self._style = style if style is not None else style_of(model)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model

    @property
    def space(self) -> str:
        """The name under which vectors are stored."""
        return self._style.name_for(self._model)

    @property
    def similar(self) -> float | None:
        """The cosine from which a passage has to do with a question, if it is known."""
        return self._style.similar


class OpenAIEmbedder(_StyledEmbedder):
    """A client of any server with OpenAI's embeddings protocol. Safe from many threads.

    `style` says how the model embeds questions and passages; for known models (e5, bge, nomic, gte, OpenAI, Cohere, Voyage) it is
    known. A request has at most `batch_size` texts. Raises `InvalidSetting`.
    """

    def __init__(
        self,
        model: str,
        url: str = "https://api.openai.com/v1",
        api_key: str = "",
        timeout: float = 30.0,
        *,
        style: EmbeddingStyle | None = None,
        batch_size: int = 64,
    ) -> None:
        check_instance("OpenAIEmbedder.style", style, (EmbeddingStyle, type(None)), "an EmbeddingStyle, or None")
        check_number("OpenAIEmbedder.batch_size", batch_size, least=1, whole=True)
        if not url.startswith(("https://", "http://")):
            raise InvalidSetting("OpenAIEmbedder.url", url, "a URL that begins with https:// or http://")
        super().__init__(model, style)
        self._url = f"{url.rstrip('/')}/embeddings"
        self._key = api_key
        self._timeout = timeout
        self._batch = batch_size

    def embed(self, texts: Sequence[str], kind: str = PASSAGE) -> list[list[float]]:
        """Return one vector for each text. Raises `EmbeddingFailed`."""
        prefix = self._style.prefix(kind)
        vectors: list[list[float]] = []
        for first in range(0, len(texts), self._batch):
            batch = [f"{prefix}{text}" for text in texts[first : first + self._batch]]
            body = {"model": self._model, "input": batch, "encoding_format": "float", **self._style.options(kind)}
            vectors += self._request({name: value for name, value in body.items() if value is not None})
        return vectors

    def _request(self, body: dict[str, Any]) -> list[list[float]]:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The constructor checked the scheme.
        request = urllib.request.Request(self._url, data, headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                answer = json.loads(response.read())
            rows = sorted(answer["data"], key=lambda row: row["index"])
            if len(rows) != len(body["input"]):
                raise EmbeddingFailed(self._url, f"{len(body['input'])} texts were given, and {len(rows)} vectors came back")
            return [[float(value) for value in row["embedding"]] for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            # An HTTP error is an OSError; its body contains the reason.
            detail = error.read(300).decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
            raise EmbeddingFailed(self._url, f"{describe(error)} {detail}".strip()) from error


class LocalEmbedder(_StyledEmbedder):
    """A small model on this machine, by fastembed. It is downloaded on first use.

    Safe from many threads. Raises `ExtraMissing` without the extra `embed`.
    """

    def __init__(self, model: str = "BAAI/bge-small-en-v1.5", *, style: EmbeddingStyle | None = None) -> None:
        try:
            from fastembed import TextEmbedding  # noqa: PLC0415 - it is optional, and slow to import
        except ImportError as error:
            raise ExtraMissing("LocalEmbedder", "embed") from error
        super().__init__(model, style)
        self._text: Any = TextEmbedding(model)

    def embed(self, texts: Sequence[str], kind: str = PASSAGE) -> list[list[float]]:
        """Return one vector for each text."""
        prefix = self._style.prefix(kind)
        return [[float(value) for value in vector] for vector in self._text.embed([f"{prefix}{text}" for text in texts])]
