"""Small texts that are always in an agent's prompt."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import BlockChanged, BlockTooLong, InvalidMemory, MemoryClosed, TierUnavailable, UnknownBlock
from coterie.memory import AgentMemory, MemoryBlocks, TieredMemory
from coterie.testing import ManualClock, run_together
from tests.memory.stores import FlakyArchive, open_memory


@pytest.fixture
def memory() -> Iterator[TieredMemory]:
    with open_memory() as memory:
        yield memory


def test_a_block_has_a_text_a_limit_and_versions(memory: TieredMemory) -> None:
    blocks = AgentMemory(memory, "alice", consolidate_at=None).blocks
    first = blocks.define("user", "Ann", limit=20, description="Who the user is.")
    assert (first.name, first.text, first.limit, first.version) == ("user", "Ann", 20, 1)
    assert blocks.append("user", "a baker").text == "Ann\na baker"
    assert blocks.replace("user", "baker", "cook", version=2).version == 3
    assert blocks.write("user", "Ann Lee").version == 4
    assert blocks.write("user", "Ann Lee").version == 4, "the same text is no change"
    assert [(each.version, each.text) for each in blocks.versions("user")] == [
        (4, "Ann Lee"),
        (3, "Ann\na cook"),
        (2, "Ann\na baker"),
        (1, "Ann"),
    ]
    assert blocks["user"].text == "Ann Lee"
    assert "user" in blocks
    assert len(blocks) == 1


def test_a_change_depends_on_the_version(memory: TieredMemory) -> None:
    blocks = MemoryBlocks(memory, "alice")
    blocks.define("user", "Ann")
    blocks.write("user", "Bob", version=1)
    changes: list[Callable[[], object]] = [
        lambda: blocks.write("user", "Eve", version=1),
        lambda: blocks.append("user", "Eve", version=1),
        lambda: blocks.replace("user", "Bob", "Eve", version=1),
        lambda: blocks.delete("user", version=1),
    ]
    for change in changes:
        with pytest.raises(BlockChanged, match="version 2, not 1") as changed:
            change()
        assert changed.value.version == 2
    assert blocks["user"].text == "Bob"
    blocks.delete("user")
    assert blocks.define("user", "Ann").version == 3, "a version never comes back"


def test_a_text_over_the_limit_changes_nothing(memory: TieredMemory) -> None:
    blocks = MemoryBlocks(memory, "alice")
    blocks.define("user", "12345", limit=5)
    changes: list[Callable[[], object]] = [
        lambda: blocks.append("user", "6"),
        lambda: blocks.write("user", "123456"),
        lambda: blocks.define("user", limit=4),
        lambda: blocks.define("other", "123456", limit=5),
    ]
    for change in changes:
        with pytest.raises(BlockTooLong, match="shorten it"):
            change()
    assert [(each.name, each.text, each.limit) for each in blocks] == [("user", "12345", 5)]
    assert blocks.define("user", "ignored", limit=6, description="who").text == "12345"


@pytest.mark.parametrize(
    ("name", "text", "limit"), [("", "a", 5), ("a\nb", "a", 5), ("a", None, 5), ("a", "\ud800", 5), ("a", "a", 0), (1, "a", 5)]
)
def test_an_invalid_block_is_refused(memory: TieredMemory, name: Any, text: Any, limit: Any) -> None:
    with pytest.raises(InvalidMemory):
        MemoryBlocks(memory, "alice").define(name, text, limit=limit)


def test_an_unknown_block_is_told_with_the_known_ones(memory: TieredMemory) -> None:
    blocks = MemoryBlocks(memory, "alice")
    blocks.define("user")
    asks: list[Callable[[str], object]] = [blocks.get, blocks.versions, blocks.delete, partial(blocks.write, text="x")]
    for ask in asks:
        with pytest.raises(UnknownBlock, match="there are: user"):
            ask("task")
    blocks.write("user", "aa")
    with pytest.raises(InvalidMemory, match="2 times"):
        blocks.replace("user", "a", "b")


def test_the_prompt_has_all_blocks_with_a_text(memory: TieredMemory) -> None:
    blocks = MemoryBlocks(memory, "alice")
    assert blocks.prompt() == ""
    blocks.define("user", "Ann", description="Who the user is.")
    blocks.define("empty")
    blocks.define("agreed", "Answer in German.")
    assert blocks.prompt() == "## user\n(Who the user is.)\nAnn\n\n## agreed\nAnswer in German."


def test_appends_of_many_threads_all_take_effect(memory: TieredMemory) -> None:
    blocks = [MemoryBlocks(memory, "alice") for _ in range(4)]
    blocks[0].define("log", limit=10_000)

    def append(number: int) -> None:
        for each in range(10):
            blocks[number].append("log", f"{number}-{each}")

    run_together(*(partial(append, number) for number in range(4)))
    assert len(set(blocks[0]["log"].text.split("\n"))) == 40
    assert blocks[0]["log"].version == 41
    assert len(blocks[0].versions("log")) == 21


def test_blocks_are_there_after_a_restart_and_in_an_export(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_memory(clock, path=tmp_path / "a.db") as memory:
        MemoryBlocks(memory, "alice").define("user", "Ann")
        MemoryBlocks(memory, "bob").define("user", "Eve")
    with open_memory(clock, path=tmp_path / "a.db") as memory:
        assert MemoryBlocks(memory, "alice")["user"].text == "Ann"
        assert memory.recent() == []
        assert memory.search("Ann") == []
        memory.export_to(tmp_path / "dump.jsonl", agent="alice")
    with open_memory(clock) as memory:
        blocks = MemoryBlocks(memory, "alice")
        blocks.define("user", "old")
        memory.import_from(tmp_path / "dump.jsonl")
        assert blocks["user"].text == "Ann"
        assert blocks.append("user", "Lee").version == 2
        assert len(MemoryBlocks(memory, "bob")) == 0


def test_two_processes_on_one_server_compare_with_what_is_stored() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory, open_memory(archive=archive) as other:
        one, two = MemoryBlocks(memory, "alice"), MemoryBlocks(other, "alice")
        seen = one.define("user", "Ann")
        two.write("user", "Bob", version=seen.version)
        with pytest.raises(BlockChanged):
            one.write("user", "Eve", version=seen.version)
        assert one["user"].text == "Bob"
        archive.away = True
        with pytest.raises(TierUnavailable):
            one.write("user", "Eve")
        archive.away = False
    with pytest.raises(MemoryClosed):
        one.get("user")
