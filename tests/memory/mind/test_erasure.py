"""A person is forgotten: in all memories, in what was derived, in blocks, in dumps, and in the bytes of the file."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidMemory, TierUnavailable
from coterie.errors.memory import InvalidDump
from coterie.memory import AgentMemory, Insight, Memory, TieredMemory, forget_person
from coterie.memory.mind.consolidation import extractive_summary
from coterie.testing import ManualClock, Together, eventually
from tests.memory.stores import open_memory
from tests.servers import Postgres


def mind_of(memory: TieredMemory, agent: str = "alice", **options: Any) -> AgentMemory:
    return AgentMemory(memory, agent, **{"consolidate_at": None, **options})


def bytes_of(folder: Path) -> bytes:
    content = []
    for path in folder.iterdir():
        # A server may delete a file meanwhile.
        with suppress(FileNotFoundError, IsADirectoryError):
            content.append(path.read_bytes())
    return b"".join(content)


def fill(memory: TieredMemory) -> None:
    """Store what alice and bob know about Zebulon and other things."""
    alice, bob = mind_of(memory), mind_of(memory, "bob")
    texts = ("the rain fell", "Zebulon's sister plays xylophone", "Quagmire road is closed", "the market opened")
    names = [alice.remember(text) for text in texts]
    alice.learn("She is a vibraphonist.", sources=[names[1]])
    alice.consolidate(force=True)
    alice.learn({"subject": "zebulon", "relation": "lives in", "object": "Quetzalcity"})
    alice.learn({"subject": "Ann", "relation": "knows", "object": "ZEBULON"})
    alice.blocks.define("friends", "Ann is a baker.\nZebulon is a yodeller.")
    alice.blocks.define("agreed", "We speak German.")
    alice.share_with("bob")
    memory.store("alice/note", {"who": {"name": "Zébulon"}}, text="a note", durable=False)
    memory.store("alice/other", "the Zebulonians")
    bob.remember("wicket Zebulon sneezed")
    bob.remember("bob's own ukulele")
    memory.delete("alice/gone", reason="x")


def test_everything_about_a_subject_is_deleted_with_all_that_was_derived(tmp_path: Path) -> None:
    with open_memory(path=tmp_path / "a.db") as memory:
        fill(memory)
        alice = mind_of(memory)
        assert memory.export_to(tmp_path / "dump.jsonl") > 0
        before = bytes_of(tmp_path)
        for word in (b"Zebulon is a", b"xylophone", b"xylophon", b"Quetzalcity"):
            assert word in before
        report = forget_person(memory, subject="Zebulon", dumps=[tmp_path / "dump.jsonl"])
        assert report.by_agent == {"alice": 6, "bob": 1}
        assert report.by_kind == {"episode": 2, "semantic": 4, "value": 1}
        assert (report.memories, report.derived, report.internal, report.blocks) == (7, 1, 0, ("alice: friends",))
        assert report.dumps == {str(tmp_path / "dump.jsonl"): 7}
        assert report.bytes_gone
        assert any("backups" in each for each in report.not_covered)
        for word in (
            b"Zebulon is a",
            b"zebulon ",
            b"xylophon",
            b"Quetzalcity",
            b"Quetzalc",
            b"wicket",
            b"yodeller",
            b"vibraphon",
        ):
            assert word not in bytes_of(tmp_path).replace(b"zebulonians", b"").replace(b"Zebulonians", b"")
        assert [each.text for each in alice.recent()] == ["the market opened", "Quagmire road is closed", "the rain fell"]
        assert alice.recall("xylophone") == []
        assert {each.text for each in alice.recall("rain")} == {"the rain fell", "Quagmire road is closed"}, "new neighbours"
        assert alice.history("Zebulon") == alice.history("Ann") == []
        assert alice.blocks["friends"].text == "Ann is a baker."
        assert len(alice.blocks.versions("friends")) == 1
        assert memory.get("alice/other") == "the Zebulonians"
        assert alice.stats().episodes == len(alice) == 3
        assert alice.stats().unconsolidated == 3, "what is left of the summary's sources is consolidated again"
        assert forget_person(memory, subject="Zebulon").memories == 0
        alice.remember("later")
        assert alice.recall("xylophone") == []
    with open_memory() as memory:
        memory.import_from(tmp_path / "dump.jsonl")
        assert mind_of(memory).blocks["friends"].text == "Ann is a baker."
        assert mind_of(memory).recall("xylophone") == []
        assert len(mind_of(memory)) == 3


def test_everything_of_an_owner_is_deleted(tmp_path: Path) -> None:
    with open_memory(path=tmp_path / "a.db") as memory:
        fill(memory)
        bob, alice = mind_of(memory, "bob"), mind_of(memory)
        bob.blocks.define("user", "ukulele player")
        memory.store("bob/secret", "kazoo")
        memory.delete("bob/secret", reason="a kazoo reason")
        report = forget_person(memory, owner="bob")
        assert (report.by_agent, report.derived) == ({"bob": 2}, 0)
        assert report.internal == 1
        assert alice.shared_with() == []
        assert memory.decisions("bob/secret") == []
        assert bob.recent() == []
        assert len(bob.blocks) == 0
        for word in (b"ukulele", b"ukulel", b"wicket", b"kazoo"):
            assert word not in bytes_of(tmp_path)
        assert len(alice) == 4
        bob.remember("a new life")
        assert len(bob) == 1


def test_a_name_may_be_told_in_several_forms_and_scripts() -> None:
    with open_memory() as memory:
        mind = mind_of(memory)
        for text in (
            "美咲さんは東京にいます",
            "Маша живёт здесь",
            "Пишет Маше",
            "Ann Lee came",
            "Ann came",
            "Annas Buch",
            "Anns Buch",
        ):
            mind.remember(text)
        assert forget_person(memory, subject=["美咲", "Маша", "Маше", "ann  lee"]).memories == 4
        assert forget_person(memory, subject="Ann").memories == 2
        assert [each.text for each in mind.recent()] == ["Annas Buch"]
        assert not forget_person(memory, subject="nobody").bytes_gone


def test_a_consolidation_under_way_does_not_bring_a_person_back() -> None:
    entered, opened = threading.Event(), threading.Event()

    def summarise(episodes: Sequence[Memory]) -> list[Insight]:
        entered.set()
        assert opened.wait(20)
        return extractive_summary(episodes)

    with open_memory() as memory:
        mind = mind_of(memory, summariser=summarise)
        mind.remember("Zebulon sings")
        mind.remember("rain")
        running = Together(lambda: mind.consolidate(force=True))
        assert entered.wait(20)
        assert forget_person(memory, subject="Zebulon").memories == 1
        opened.set()
        running.join()
        eventually(lambda: mind.wait_for_consolidation(0.1))
        assert memory.search("Zebulon") == []
        assert mind.stats().semantic == 0


@pytest.mark.parametrize(
    "wrong",
    [{}, {"owner": ""}, {"owner": 5}, {"subject": ""}, {"subject": ["Ann", " "]}, {"subject": 5}, {"subject": "\ud800"}],
)
def test_a_person_has_a_name(wrong: dict[str, Any]) -> None:
    with open_memory() as memory, pytest.raises(InvalidMemory):
        forget_person(memory, **wrong)


def test_a_dump_that_cannot_be_read_is_told_before_anything_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text("nonsense\n")
    with open_memory(ManualClock()) as memory:
        memory.store("alice/a", "x")
        with pytest.raises(InvalidDump):
            forget_person(memory, owner="alice", dumps=[tmp_path / "dump.jsonl"])
        assert memory.get("alice/a") == "x"


def test_the_files_of_postgresql_keep_no_byte_either(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = postgres_server.fresh()
    words = (b"Zebulon is a", b"zebulon sneez", b"xylophon", b"Quetzalcity", b"quetzalciti", b"yodeller", b"vibraphon")
    with open_memory(postgres_url=url) as memory, psycopg.connect(url, autocommit=True) as other:
        fill(memory)
        memory.flush()
        other.execute("ANALYZE")

        def files() -> bytes:
            other.execute("CHECKPOINT")
            (number,) = other.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
            return bytes_of(postgres_server.folder / "data" / "base" / str(number))

        before = files()
        assert all(word in before for word in (words[0], words[3]))
        # The server keeps deleted rows for a transaction that may still see them.
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM memories")
        with monkeypatch.context() as patched:
            patched.setattr("coterie.storage.postgres.store._COMPACT_TRIES", 2)
            with pytest.raises(TierUnavailable, match="open transactions"):
                forget_person(memory, subject="Zebulon")
        other.execute("COMMIT")
        report = forget_person(memory, subject="Zebulon")
        assert report.bytes_gone
        assert any("WAL" in each for each in report.not_covered)
        # Another word stays, with its stem.
        after = files().replace(b"zebulonian", b"").replace(b"Zebulonian", b"")
        assert [word for word in (*words, b"Zebulon", b"zebulon") if word in after] == []
        assert mind_of(memory).recall("rain")[0].text == "the rain fell"
    postgres_server.drop(url)
