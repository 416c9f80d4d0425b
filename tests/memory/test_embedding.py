"""Meanings: embedders, vectors, and the ranking that weighs them."""

import http.server
import json
import math
import re
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from coterie.errors import EmbeddingFailed, ExtraMissing, InvalidSetting
from coterie.errors.general import install_command
from coterie.memory import AgentMemory, LocalEmbedder, OpenAIEmbedder, TieredMemory, Weights
from coterie.memory.embedding import CachedEmbedder, pack_vector
from coterie.memory.mind.recall import convex_sum, normalised, recency, rescaled
from coterie.testing import ManualClock
from tests.memory.stores import FlakyArchive, open_memory

MEANINGS = {"lend": 0, "borrow": 0, "loan": 0, "rain": 1, "weather": 1, "storm": 1, "dog": 2, "puppy": 2}


class ToyEmbedder:
    """Knows what a few words mean."""

    model = "toy"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.broken = False

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.broken:
            raise RuntimeError("no model today")
        self.texts += texts
        vectors = []
        for text in texts:
            vector = [0.1, 0.1, 0.1]
            for word, place in MEANINGS.items():
                vector[place] += word in text.lower()
            vectors.append(vector)
        return vectors


def test_a_memory_of_the_same_meaning_is_found_without_a_common_word() -> None:
    embedder = ToyEmbedder()
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        loan = mind.remember("Bob made me a loan")
        for n in range(20):
            mind.remember(f"There was a storm, number {n}")
        found = mind.recall("what did I borrow?", 1)[0]
        assert found.id == loan
        assert found.parts["meaning"] == 1.0
        record = memory.record(f"alice/episode/{loan}")
        assert record is not None
        assert (record.model, record.dimension) == ("toy", 3)
        mind.recall("what did I borrow?", 1)
        assert len(embedder.texts) == len(set(embedder.texts)) == 22
        mind.forget(loan)
        assert loan not in [each.id for each in mind.recall("what did I borrow?", 30)]


def test_an_embedder_that_fails_costs_the_meaning_and_not_the_answer(caplog: Any) -> None:
    embedder = ToyEmbedder()
    embedder.broken = True
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        loan = mind.remember("Bob made me a loan")
        assert mind.recall("a loan", 1)[0].id == loan
        assert "no model today" in caplog.text
        embedder.broken = False
        assert mind.recall("borrow", 1)[0].parts["meaning"] == 1.0


def test_meanings_are_kept_and_those_of_another_model_are_made_anew() -> None:
    archive, clock = FlakyArchive(), ManualClock()

    def opened() -> TieredMemory:
        return open_memory(clock, archive=archive)

    with opened() as memory:
        mind = AgentMemory(memory, "alice", embedder=ToyEmbedder(), consolidate_at=None)
        mind.remember("Bob made me a loan")
        mind.recall("borrow")
    with opened() as memory:
        embedder = ToyEmbedder()
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        assert mind.recall("borrow", 1)[0].parts["meaning"] == 1.0
        assert embedder.texts == ["borrow"]
        other = ToyEmbedder()
        other.model = "other"
        mind = AgentMemory(memory, "alice", embedder=other, consolidate_at=None)
        mind.recall("borrow")
        assert "Bob made me a loan" in other.texts


def test_a_text_is_embedded_once_by_its_content() -> None:
    embedder = ToyEmbedder()
    cached = CachedEmbedder(embedder, size=2)
    assert cached.model == "toy"
    assert cached.embed(["a", "b", "a"]) == [[0.1, 0.1, 0.1]] * 3
    cached.embed(["b", "a"])
    assert (embedder.texts, cached.hits, cached.misses) == (["a", "b"], 2, 2)
    cached.embed(["c"])
    cached.embed(["b"])
    assert embedder.texts == ["a", "b", "c", "b"]
    with pytest.raises(EmbeddingFailed, match="1 texts were given, and 0 vectors"):
        CachedEmbedder(type("None", (), {"model": "x", "embed": lambda *_: []})()).embed(["a"])


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as OpenAI's server does, out of order."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = asked["model"] == "small" and self.headers["Authorization"] == "Bearer key"
        rows = [{"index": n, "embedding": [float(len(text)), 1.0]} for n, text in enumerate(asked["input"])]
        body = json.dumps({"data": rows[::-1]} if good else {"error": "no such model"}).encode()
        self.send_response(200 if good else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)  # noqa: TID251 - a server of the test's own
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/"
    server.shutdown()
    server.server_close()


def test_a_server_that_speaks_openais_protocol_makes_vectors(url: str) -> None:
    assert OpenAIEmbedder("small", url, api_key="key").embed(["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]
    with pytest.raises(EmbeddingFailed, match="no such model"):
        OpenAIEmbedder("large", url, api_key="key").embed(["a"])
    with pytest.raises(EmbeddingFailed, match="refused"):
        OpenAIEmbedder("small", "http://127.0.0.1:9").embed(["a"])
    with pytest.raises(InvalidSetting, match="https"):
        OpenAIEmbedder("small", "file:///etc/passwd")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with pytest.raises(ExtraMissing, match=re.escape(install_command("embed"))):
        LocalEmbedder()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with open_memory() as memory, pytest.raises(ExtraMissing, match=re.escape(install_command("vectors"))):
        AgentMemory(memory, "alice", embedder=ToyEmbedder())


def test_vectors_are_kept_with_length_one() -> None:
    assert struct.unpack("<2f", pack_vector([3.0, 4.0])) == pytest.approx((0.6, 0.8))
    assert pack_vector([0.0, 0.0]) == bytes(8)
    for bad in ([], [math.nan], [math.inf]):
        with pytest.raises(EmbeddingFailed):
            pack_vector(bad)


def test_scores_are_weighed_after_they_are_made_comparable() -> None:
    assert normalised({"a": 4.0, "b": 1.0}) == {"a": 1.0, "b": 0.25}
    assert normalised({}) == {}
    assert rescaled({"a": 0.9, "b": 0.7, "c": 0.5}) == pytest.approx({"a": 1.0, "b": 0.5, "c": 0.0})
    assert rescaled({"a": 0.3}) == {"a": 1.0}
    assert recency(10.0, 10.0) == 0.5
    assert recency(-5.0, 10.0) == 1.0
    assert convex_sum({"text": 1.0, "recency": 0.5}, {"text": 3.0, "recency": 1.0, "importance": 0.0}) == 0.875
    assert convex_sum({}, {}) == 0.0
    for bad in ({"text": -1.0}, {"meaning": math.nan}, {"half_life": 0.0}):
        with pytest.raises(InvalidSetting):
            Weights(**bad)
