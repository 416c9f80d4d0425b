"""The nearest vectors: all compared, or found by an approximate index."""

from typing import Any

import pytest

from coterie.memory.contract import Vector
from coterie.memory.embeddings import vector_index
from coterie.memory.embeddings.vector_index import VectorIndex

np = pytest.importorskip("numpy")

COUNT, DIMENSION = 600, 32


class Vectors:
    """An archive of vectors only, some of episodes and some of semantic memories."""

    def __init__(self) -> None:
        rows = np.random.default_rng(3).standard_normal((COUNT, DIMENSION)).astype("<f4")
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        kinds = ["semantic" if number % 5 == 0 else "episode" for number in range(COUNT)]
        self.kept = [Vector(f"a/{kinds[place]}/{place:x}-1", place + 1, self.rows[place].tobytes()) for place in range(COUNT)]

    def vectors(self, _agent: str, _model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        return [each for each in self.kept if each.version > after][: min(limit, 100)]

    def put(self, key: str, row: Any) -> None:
        self.kept = [each for each in self.kept if each.key != key]
        self.kept.append(Vector(key, self.kept[-1].version + 1, row.tobytes()))


def index_of(archive: Any) -> VectorIndex:
    index = VectorIndex("a", "m")
    index.catch_up(archive, DIMENSION)
    return index


def test_an_approximate_index_finds_what_an_exact_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("usearch")
    archive: Any = Vectors()
    exact = index_of(archive)
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 250)
    approximate = index_of(archive)
    assert (exact._moved, approximate._moved) == (0, COUNT)
    gone = [each.key for each in archive.kept[::7]]
    moved = archive.kept[11].key
    archive.put(moved, archive.rows[400])
    archive.put("a/episode/9999-1", archive.rows[401])
    for index in (exact, approximate):
        for key in gone:
            index.drop(key)
        index.catch_up(archive, DIMENSION)
    found = wanted = 0
    for number in range(0, COUNT, 20):
        question = archive.rows[number].tobytes()
        (first, ordinary), (second, estimated) = (index.nearest(question, 10, [moved]) for index in (exact, approximate))
        assert estimated == pytest.approx(ordinary, abs=0.03)
        assert moved in second
        assert not second.keys() & set(gone)
        for key in first.keys() & second.keys():
            assert second[key] == pytest.approx(first[key], abs=0.01)
        found += len(first.keys() & second.keys())
        wanted += len(first)
    assert found / wanted > 0.95


def test_a_comparison_in_bytes_finds_exactly_what_one_in_floats_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numkong")
    archive: Any = Vectors()
    # Close ones, whose bytes are alike, and one whose greatest number is twice as great as that of any other.
    close = archive.rows[:150] + 0.02 * archive.rows[150:300]
    steep = np.full(DIMENSION, 0.01, dtype="<f4")
    steep[3] = 1.0
    exact = index_of(archive)
    exact._without_bytes = True
    monkeypatch.setattr(vector_index, "SCAN_FROM", 100)
    fast = index_of(archive)

    def compare() -> None:
        for number in range(0, COUNT, 7):
            question = archive.rows[number].tobytes()
            (first, ordinary), (second, estimated) = (
                index.nearest(question, 10, ["a/episode/3-1", "nothing"]) for index in (exact, fast)
            )
            assert list(second) == list(first)
            assert second == pytest.approx(first, abs=5e-4)
            assert estimated == pytest.approx(ordinary, abs=0.003)

    compare()
    assert exact._bytes is None
    assert fast._bytes is not None
    for place, row in enumerate(close):
        archive.put(f"a/episode/{place + 1000:x}-1", (row / np.linalg.norm(row)).astype("<f4"))
    archive.put(archive.kept[4].key, archive.rows[77])
    for index in (exact, fast):
        index.catch_up(archive, DIMENSION)
    compare()
    archive.put("a/episode/9999-1", steep / np.linalg.norm(steep))
    archive.put(archive.kept[5].key, archive.rows[78])
    for index in (exact, fast):
        index.catch_up(archive, DIMENSION)
        index.drop(archive.kept[9].key)
    compare()


def test_without_usearch_all_are_compared_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def missing(_: int) -> None:
        raise ImportError

    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 250)
    monkeypatch.setattr(vector_index, "ApproximateVectors", missing)
    archive: Any = Vectors()
    index = index_of(archive)
    assert list(index.nearest(archive.rows[5].tobytes(), 1)[0]) == [archive.kept[5].key]
    assert caplog.text.count("install the extra 'index'") == 1
