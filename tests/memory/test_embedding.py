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
from coterie.memory import (
    AgentMemory,
    EmbeddingStyle,
    LocalEmbedder,
    MemoryRecord,
    OpenAIEmbedder,
    Put,
    TieredMemory,
    Weights,
    at_least,
)
from coterie.memory.backends.in_process import InProcessArchive
from coterie.memory.embedding import CachedEmbedder, pack_vector
from coterie.memory.embeddings.styles import style_of
from coterie.memory.embeddings.vector_index import VectorIndex
from coterie.memory.mind.recall import comparable, convex_sum, normalised, recency
from coterie.testing import ManualClock, eventually
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
    text, meaning = comparable({"a": 8.0, "b": 0.0, "c": 0.0, "d": 0.0}, {"a": 0.81, "b": 0.82, "c": 0.83, "d": 0.82})
    assert text == pytest.approx({"a": 2.3094 / 2.8284, "b": 0.0, "c": 0.0, "d": 0.0}, abs=1e-3)
    assert meaning == pytest.approx({"a": 0.0, "b": 0.5, "c": 1.0, "d": 0.5}, abs=1e-3)
    assert comparable({"a": 0.3}, {"a": 0.0}) == ({"a": 1.0}, {"a": 0.0})
    assert comparable({}, {}) == ({}, {})
    assert recency(10.0, 10.0) == 0.5
    assert recency(-5.0, 10.0) == 1.0
    assert convex_sum({"text": 1.0, "recency": 0.5}, {"text": 3.0, "recency": 1.0, "importance": 0.0}) == 0.875
    assert convex_sum({}, {}) == 0.0
    for bad in ({"text": -1.0}, {"meaning": math.nan}, {"half_life": 0.0}):
        with pytest.raises(InvalidSetting):
            Weights(**bad)


class KindEmbedder:
    """An embedder that embeds questions and passages differently, and whose vectors have the length that a test sets."""

    model = "kinds"

    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension
        self.calls: list[tuple[str, str]] = []
        self.bad = ""
        self.lock = threading.Lock()

    def embed(self, texts: Sequence[str], kind: str = "passage") -> list[list[float]]:
        with self.lock:
            self.calls += [(kind, text) for text in texts]
        return [
            [math.nan] * self.dimension if text == self.bad else [float("red" in text), 1.0, *[0.0] * (self.dimension - 2)]
            for text in texts
        ]


def test_questions_and_memories_are_embedded_as_what_they_are() -> None:
    embedder = KindEmbedder()
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        red = mind.remember("the red door")
        mind.remember("a wall")
        assert mind.recall("something red", 1)[0].id == red
        assert embedder.calls == [("query", "something red"), ("passage", "the red door"), ("passage", "a wall")]


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("intfloat/multilingual-e5-small", "query: x", "passage: x"),
        ("intfloat/e5-large-v2", "query: x", "passage: x"),
        ("multilingual-e5-small-q4", "x", "x"),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: x", "x"),
        ("BAAI/bge-m3", "x", "x"),
        ("nomic-embed-text", "search_query: x", "search_document: x"),
        ("thenlper/gte-base", "x", "x"),
        ("text-embedding-3-small", "x", "x"),
        ("embed-multilingual-v3.0", "x", "x"),
        ("voyage-3-large", "x", "x"),
        ("of-my-own", "x", "x"),
    ],
)
def test_known_models_get_their_prefixes(model: str, query: str, passage: str) -> None:
    style = style_of(model)
    assert (f"{style.prefix('query')}x", f"{style.prefix('passage')}x") == (query, passage)


def test_known_models_get_their_types() -> None:
    assert style_of("embed-english-v3.0").options("query") == {"input_type": "search_query"}
    assert style_of("voyage-3").options("passage") == {"input_type": "document", "encoding_format": None}
    assert style_of("jina-embeddings-v3").options("query") == {"task": "retrieval.query"}
    # Vectors with and without a prefix are not compared.
    assert style_of("e5-small").name_for("e5-small") == "e5-small (query:; passage:; input_type=passage)"
    assert EmbeddingStyle().name_for("m") == "m"


def test_a_request_has_the_prefixes_types_and_size_of_its_style(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = OpenAIEmbedder(
        "m", "http://localhost/v1", style=EmbeddingStyle("q: ", "p: ", {"task": "ask"}, {"encoding_format": None}), batch_size=2
    )
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> list[list[float]]:
        bodies.append(body)
        return [[1.0] for _ in body["input"]]

    monkeypatch.setattr(embedder, "_request", answer)
    assert len(embedder.embed(["a", "b", "c"])) == 3
    embedder.embed(["d"], kind="query")
    assert bodies == [
        {"model": "m", "input": ["p: a", "p: b"]},
        {"model": "m", "input": ["p: c"]},
        {"model": "m", "input": ["q: d"], "encoding_format": "float", "task": "ask"},
    ]
    with pytest.raises(InvalidSetting, match="batch_size"):
        OpenAIEmbedder("m", batch_size=0)


def test_vectors_of_another_length_are_told_and_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    embedder = KindEmbedder(2)
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        red = mind.remember("the red door")
        mind.remember("a wall")
        mind.recall("something red")
        embedder = KindEmbedder(3)
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        assert mind.recall("something red", 1)[0].id == red
        assert "kinds makes vectors of 3 numbers now; 2 memories have others and are embedded anew" in caplog.text
        assert ("passage", "the red door") in embedder.calls
        record = memory.record(f"alice/episode/{red}")
        assert record is not None
        assert record.dimension == 3
        caplog.clear()
        mind.recall("something red")
        assert not caplog.records


def test_a_memory_with_an_invalid_vector_is_found_by_its_words(caplog: pytest.LogCaptureFixture) -> None:
    embedder = KindEmbedder()
    embedder.bad = "a broken text"
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        bad = mind.remember("a broken text")
        red = mind.remember("the red door")
        assert mind.recall("something red", 1)[0].id == red
        assert mind.recall("broken", 1)[0].id == bad
        assert f"alice/episode/{bad} stays without a vector" in caplog.text
        assert len(embedder.calls) == 4


def test_vectors_of_different_lengths_are_one_error() -> None:
    uneven = type("Uneven", (), {"model": "x", "embed": lambda _, texts: [[1.0] * (n + 1) for n in range(len(texts))]})()
    with pytest.raises(EmbeddingFailed, match="different lengths came back: 1 and 3"):
        CachedEmbedder(uneven).embed(["a", "b", "c"])


def test_many_memories_are_embedded_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.memory.mind.meaning._AT_ONCE", 8)
    monkeypatch.setattr("coterie.memory.mind.meaning._TOGETHER", 4)
    embedder = KindEmbedder()
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        for n in range(30):
            mind.remember(f"wall {n}")
        mind.recall("red")
        eventually(lambda: sum(kind == "passage" for kind, _ in embedder.calls) == 30)


def test_embedding_goes_on_where_a_closed_memory_left_it() -> None:
    archive, clock, embedder = FlakyArchive(), ManualClock(), KindEmbedder()
    with open_memory(clock, archive=archive) as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        mind.remember("the red door")
        mind.recall("red")
        mind.remember("a wall")
    with open_memory(clock, archive=archive) as memory:
        mind = AgentMemory(memory, "alice", embedder=embedder, consolidate_at=None)
        mind.recall("red")
        assert [text for kind, text in embedder.calls if kind == "passage"] == ["the red door", "a wall"]


def test_recall_by_meaning_keeps_to_its_filter() -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", embedder=KindEmbedder(), consolidate_at=None, max_episodes=2_000)
        for n in range(100):
            mind.remember({"content": "the red door", "room": n})
        grey = mind.remember({"content": "a wall", "room": 100})
        assert [each.id for each in mind.recall("something red", where={"room": 100})] == [grey]
        assert len(mind.recall("something red", where={"room": at_least(98)})) == 3


def test_the_index_finds_what_comparing_all_finds_and_counts_neighbours() -> None:
    numpy = pytest.importorskip("numpy")
    archive = InProcessArchive()
    vectors = numpy.random.default_rng(5).standard_normal((300, 8)).astype("<f4")
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)

    def put(n: int, vector: Any, version: int, kind: str = "episode") -> None:
        key = f"alice/{kind}/{n + 1_000:x}"
        record = MemoryRecord(f"{n:x}", key, version, b"\xc0", "alice", kind, model="m", vector=vector.tobytes())
        archive.write([Put(record)])

    for n, vector in enumerate(vectors):
        put(n, vector, n + 1, "semantic")
    index = VectorIndex("alice", "m")
    assert index.catch_up(archive, 8) == set()
    near, _ = index.nearest(vectors[7].tobytes(), 10)
    expected = numpy.argsort(-(vectors @ vectors[7]))[:10]
    assert set(near) == {f"alice/semantic/{n + 1_000:x}" for n in expected}
    assert near["alice/semantic/3ef"] == pytest.approx(1.0)
    for n, vector in enumerate(vectors):
        put(n, vector, n + 1_001)
    index.catch_up(archive, 8)
    near, _ = index.nearest(vectors[7].tobytes(), 10, ["alice/episode/3f0"])
    assert near["alice/episode/3f0"] > vectors[8] @ vectors[7] + 0.2
    index.drop("alice/episode/3ef")
    near, _ = index.nearest(vectors[7].tobytes(), 10, ["alice/episode/3f0"])
    assert "alice/episode/3ef" not in near
    assert near["alice/episode/3f0"] < vectors[8] @ vectors[7] + 0.2
    assert len(index.catch_up(archive, 9)) == 600
    assert index.nearest(bytes(36), 3) == ({}, 0.0)
