"""What is particular to tiers in a database: their index, their file, their server."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from coterie.errors import TierUnavailable
from coterie.memory import Delete, MemoryKind, MemoryRecord, Put, SearchQuery, Tier
from coterie.memory.backends.full_text import Analysed, analysed
from coterie.memory.backends.opening import PostgresArchive, SqliteArchive, SqliteBackend
from coterie.memory.backends.postgres_text import _columns_of
from coterie.memory.contract import RecordFilter
from coterie.memory.fields import check_where
from coterie.memory.text.ranking import rarest
from coterie.storage import Transaction
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
    check = "INSERT INTO memory_terms (memory_terms, rank) VALUES ('integrity-check', 0)"
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
    monkeypatch.setattr("coterie.memory.backends.full_text.BUDGET", 50)
    monkeypatch.setattr("coterie.memory.backends.full_text.MAX", 100)
    archive.write([Put(record(f"k{n:04}", n + 1, text="everywhere")) for n in range(300)])
    archive.write([Put(record("rare", 1000, text="everywhere and marzipan"))])
    found = [hit.record.key for hit in archive.search(SearchQuery(("everywhere",), limit=500))]
    assert len(found) == 100
    assert min(found) == "k0201"
    assert [hit.record.key for hit in archive.search(SearchQuery(("everywhere", "marzipan")))] == ["rare"]


def test_the_rarest_words_are_looked_for_as_far_as_the_budget_goes() -> None:
    assert rarest([3, 5_990, 0, 100], 6_000) == [0, 3]
    assert rarest([5_990], 100) == [0]
    assert rarest([0], 100) == []


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
            index = archive._full_text
            archive._database.write(lambda write: index.index(write, analysed(index.unindexed(write, 7)))).result(10)
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
    archive.write([Put(record(f"k{n}", n + 1, text="word")) for n in range(600)])
    assert [archive.do_deferred_work() for _ in range(4)] == [True, True, False, False]


def test_the_number_of_unindexed_records_is_bounded(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.memory.backends.sql_archive._MAX_DUE", 100)
    monkeypatch.setattr("coterie.memory.backends.sql_archive._LOOK_AFTER", 200)
    archive.write([Put(record(f"k{n}", n + 1, text="word")) for n in range(300)])
    assert archive._database.read(archive._full_text.due) == 100


def old_file(path: Path, texts: list[str]) -> None:
    """Make a file as an earlier version left it: with its own index, of English."""
    archive = SqliteArchive(path)
    archive.write([Put(record(f"k{n}", n + 1, agent="a", text=text)) for n, text in enumerate(texts)])
    archive.search(SearchQuery(("word",)))

    def undo(write: Transaction) -> None:
        for name in ("memory_terms_drop", "memory_terms_change"):
            write.execute(f"DROP TRIGGER {name}")
        write.execute("DROP TABLE memory_terms")
        write.execute("DROP TABLE memory_due")
        write.execute("ALTER TABLE memories DROP COLUMN fields")
        write.execute("DELETE FROM memory_marks WHERE name = 'analysis'")
        tokenizer = "content = 'memories', content_rowid = 'number', tokenize = 'porter unicode61'"
        write.execute(f"CREATE VIRTUAL TABLE memory_texts USING fts5 (text, context, owner, {tokenizer})")
        write.execute("DELETE FROM coterie_migrations WHERE name = 'memories' AND version > 4")

    archive._database.write(undo).result(10)
    archive.close()


def test_an_old_file_is_indexed_anew_with_a_line_of_progress(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old_file(tmp_path / "run.db", ["Wir essen Äpfel.", "我喝绿茶", *["word"] * 300])
    caplog.clear()
    archive = SqliteArchive(tmp_path / "run.db")
    assert archive.recent(RecordFilter(where=check_where({"a": 1})), 5) == []
    assert [each.key for each in archive.recent(RecordFilter(where=check_where({})), 1)] == ["k301"]
    assert [each.getMessage() for each in caplog.records] == [
        f"{tmp_path / 'run.db'}: indexing 302 memories anew, for searches in all languages",
        f"{tmp_path / 'run.db'}: all memories are indexed",
    ]
    assert [hit.record.key for hit in archive.search(SearchQuery(("apfel",)))] == ["k0"]
    assert [hit.record.key for hit in archive.search(SearchQuery(("绿茶",)))] == ["k1"]
    archive.close()
    caplog.clear()
    SqliteArchive(tmp_path / "run.db").close()
    assert not caplog.records


def test_indexing_anew_goes_on_where_a_killed_process_left_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(tmp_path / "run.db", [f"Äpfel{n}" for n in range(600)])
    fill, batches = SqliteArchive._fill, list[int]()

    def die(archive: SqliteArchive) -> None:
        if batches:
            raise TierUnavailable("the file", "the process was killed")
        batches.append(archive._database.read(archive._full_text.due))
        fill(archive)

    monkeypatch.setattr(SqliteArchive, "_fill", die)
    with pytest.raises(TierUnavailable):
        SqliteArchive(tmp_path / "run.db")
    monkeypatch.setattr(
        SqliteArchive, "_fill", lambda archive: (batches.append(archive._database.read(archive._full_text.due)), fill(archive))
    )
    archive = SqliteArchive(tmp_path / "run.db")
    assert batches == [600, 350, 100]
    assert [hit.record.key for hit in archive.search(SearchQuery(("apfel599",)))] == ["k599"]
    archive.close()


def test_a_server_indexed_by_an_earlier_analysis_is_indexed_anew(postgres_url: str) -> None:
    archive = PostgresArchive(postgres_url)
    archive.write([Put(record(f"k{n}", n + 1, agent="a", text=f"Äpfel{n}")) for n in range(300)])
    archive._database.write(lambda write: write.execute("UPDATE memories SET terms = 'wrong'")).result(10)
    archive._database.write(lambda write: write.execute("UPDATE memory_marks SET mark = 0 WHERE name = 'analysis'")).result(10)
    archive.close()
    archive = PostgresArchive(postgres_url)
    assert [hit.record.key for hit in archive.search(SearchQuery(("apfel7",)))] == ["k7"]
    assert archive._database.read(archive._full_text.due) == 0
    archive.close()


def test_a_server_takes_a_text_of_any_length(postgres_url: str) -> None:
    archive = PostgresArchive(postgres_url)
    many, more = (" ".join(f"{n:05}" + letter * 55 for n in range(9_000)) for letter in "ab")
    archive.write([Put(record("k", 1, agent="a", text=f"first {many}", context=f"second {more}"))])
    assert [hit.record.key for hit in archive.search(SearchQuery(("first",)))] == ["k"]
    often = [f"v{n}" for n in range(3_000)] * 200
    terms, length, _ = _columns_of(Analysed(1, 1, often, often[: len(often) // 4]))
    assert length == len(often)
    assert archive._database.row("SELECT length(?::tsvector)", (terms,)) == (3_000,)
    archive.close()
