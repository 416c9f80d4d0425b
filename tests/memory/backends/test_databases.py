"""What is particular to tiers in a database: their index, their file, their server."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from coterie.errors import TierUnavailable
from coterie.memory import Delete, MemoryKind, MemoryRecord, Put, SearchQuery, Tier
from coterie.memory.backends.full_text import rarest
from coterie.memory.backends.opening import PostgresArchive, SqliteArchive, SqliteBackend
from tests.servers import Postgres

WORDS = [f"{first}{second}" for first in ("ba", "de", "gu", "ko", "ly") for second in ("ning", "tion", "ses", "rk")]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[SqliteArchive]:
    archive = SqliteArchive(tmp_path / "run.db")
    yield archive
    archive.close()


def record(key: str, version: int = 1, **fields: object) -> MemoryRecord:
    return MemoryRecord(**{"id": f"id of {key}", "key": key, "version": version, "value": b"\xc0", **fields})  # type: ignore[arg-type]


def test_the_index_agrees_with_the_records_after_whatever_was_changed(archive: SqliteArchive) -> None:
    chance = random.Random(5)
    there: dict[str, MemoryRecord] = {}
    for version in range(1, 600):
        key = f"k{chance.randrange(40)}"
        if chance.random() < 0.2:
            archive.write([Delete(key, version)])
            there.pop(key, None)
            continue
        before = there.get(key)
        text = before.text if before is not None and chance.random() < 0.3 else " ".join(chance.choices(WORDS, k=4))
        kind = MemoryKind.INTERNAL if chance.random() < 0.1 else MemoryKind.EPISODE
        tier = chance.choice(list(Tier))
        there[key] = record(
            key, version, text=text, context=WORDS[version % 5], agent=chance.choice("ab"), kind=kind, tier=tier
        )
        archive.write([Put(there[key])])
    check = "INSERT INTO memory_texts (memory_texts, rank) VALUES ('integrity-check', 0)"
    archive._database.write(lambda write: write.execute(check)).result(10)
    for word in WORDS:
        for agent in "ab":
            found = {hit.record.key for hit in archive.search(SearchQuery((word,), agents=(agent,)))}
            wanted = {
                each.key
                for each in there.values()
                if each.agent == agent and each.kind != MemoryKind.INTERNAL and word in f"{each.text} {each.context}".split()
            }
            assert found >= wanted, word
            assert all(there[key].agent == agent for key in found)


def test_tiers_of_one_file_keep_apart_and_share_its_writer(tmp_path: Path) -> None:
    archive = SqliteArchive(tmp_path / "run.db")
    short, other = SqliteBackend(tmp_path / "run.db", "short"), SqliteBackend(tmp_path / "run.db", "intermediate")
    assert short._database.statistics() == archive._database.statistics()
    short.write([Put(record("k"))])
    assert (short.count(), other.count(), archive.count()) == (1, 0, 0)
    for each in (short, other, archive):
        each.close()
    short = SqliteBackend(tmp_path / "run.db", "short")
    assert short.get(["k"]) == {"k": record("k")}
    short.close()


def test_memories_that_cite_an_odd_id_are_found_and_no_others(archive: SqliteArchive) -> None:
    odd = ["50%", "a_b", 'q"q', "b!", "é\\n", "axb"]
    archive.write([Put(record(f"k{n}", n + 1, agent="a", sources=(each,))) for n, each in enumerate(odd)])
    for n, each in enumerate(odd):
        assert [found.key for found in archive.citing("a", each)] == [f"k{n}"]
    assert archive.citing("a", "5") == []


def test_a_search_for_a_word_that_all_have_finds_the_newest(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.memory.backends.full_text._BUDGET", 50)
    monkeypatch.setattr("coterie.memory.backends.full_text._MAX", 100)
    archive.write([Put(record(f"k{n:04}", n + 1, text="everywhere")) for n in range(300)])
    archive.write([Put(record("rare", 1000, text="everywhere and marzipan"))])
    found = [hit.record.key for hit in archive.search(SearchQuery(("everywhere",), limit=500))]
    assert len(found) == 100
    assert min(found) == "k0201"
    assert [hit.record.key for hit in archive.search(SearchQuery(("everywhere", "marzipan")))] == ["rare"]


def test_the_rarest_words_are_looked_for_as_far_as_the_budget_goes() -> None:
    counts = {"rare": 3, "common": 5_990, "none": 0, "medium": 100}
    assert rarest(list(counts), lambda word, limit: min(counts[word], limit)) == [("rare", 3), ("medium", 100)]
    assert rarest(["common"], lambda word, limit: min(counts[word], limit)) == [("common", 5_990)]
    assert rarest(["none"], lambda word, limit: min(counts[word], limit)) == []


def test_a_server_that_is_away_is_unavailable_and_found_again(postgres_url: str, postgres_server: Postgres) -> None:
    archive = PostgresArchive(postgres_url, patience=0.3)
    archive.write([Put(record("k"))])
    postgres_server.stop()
    with pytest.raises(TierUnavailable):
        archive.get(["k"])
    with pytest.raises(TierUnavailable):
        archive.write([Put(record("l"))])
    with pytest.raises(TierUnavailable):
        PostgresArchive(postgres_url)
    postgres_server.start()
    assert archive.get(["k"]) == {"k": record("k")}
    assert archive.write([Put(record("l"))]) == [True]
    archive.close()


def test_an_unindexed_memory_is_found_whatever_happens_to_it_before_or_after(tmp_path: Path) -> None:
    archive = SqliteArchive(tmp_path / "run.db")
    count = archive._full_text.due
    chance = random.Random(6)
    there: dict[str, str] = {}
    for version in range(1, 2_000):
        key = f"k{chance.randrange(400)}"
        step = chance.random()
        if step < 0.1:
            archive.write([Delete(key, version)])
            there.pop(key, None)
        elif step < 0.12:
            archive._database.write(lambda write: archive._full_text.fill(write, 7)).result(10)
        elif step < 0.13:
            archive.close()
            archive = SqliteArchive(tmp_path / "run.db")
        else:
            there[key] = chance.choice(WORDS)
            archive.write([Put(record(key, version, text=there[key]))])
    assert archive._database.read(count)
    for word in WORDS:
        found = {hit.record.key for hit in archive.search(SearchQuery((word,), limit=1_000))}
        assert found >= {key for key, text in there.items() if text == word}, word
        assert found <= set(there)
    assert not archive._database.read(count)
    archive.close()


def test_deferred_work_is_done_while_there_are_no_writes(archive: SqliteArchive) -> None:
    archive.write([Put(record(f"k{n}", n + 1, text="word")) for n in range(1_200)])
    assert [archive.do_deferred_work() for _ in range(4)] == [True, True, False, False]


def test_the_number_of_unindexed_records_is_bounded(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.memory.backends.sql_archive._MAX_DUE", 100)
    monkeypatch.setattr("coterie.memory.backends.sql_archive._LOOK_AFTER", 200)
    archive.write([Put(record(f"k{n}", n + 1, text="word")) for n in range(300)])
    assert archive._database.read(archive._full_text.due) == 100
