"""Memories as JSON lines."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coterie.errors.memory import InvalidDump
from coterie.memory import AgentMemory, dump
from coterie.testing import ManualClock
from tests.memory.stores import open_memory

VALUES = {
    "alice/plain": {"text": "find work", "n": [1, None, 0.5, ""]},
    "alice/bytes": b"\x00\xff",
    "alice/numbers": {1: 2},
    "none": None,
    "time": datetime(2024, 1, 1, tzinfo=UTC),
}


def test_an_export_and_an_import_keep_all_memories(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        for key, value in VALUES.items():
            memory.store(key, value, importance=0.7, ttl=1_000)
            memory.get(key)
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        mind.remember("apple")
        mind.consolidate(force=True)
        mind.share_with("bob")
        before = {record.key: (record.id, record.created, record.importance, record.expires) for record in memory.recent()}
        assert memory.export_to(tmp_path / "all.jsonl") == 9
        assert memory.export_to(tmp_path / "alice.jsonl", agent="alice") == 7
    with open_memory(clock) as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        assert memory.import_from(tmp_path / "all.jsonl") == 9
        assert {key: memory.get(key) for key in VALUES} == VALUES
        after = {record.key: (record.id, record.created, record.importance, record.expires) for record in memory.recent()}
        assert after == before
        assert memory.record("alice/plain").access_count == 2  # type: ignore[union-attr]
        assert (mind.stats().episodes, mind.stats().semantic, mind.stats().unconsolidated) == (1, 1, 0)
        assert mind.shared_with() == ["bob"]
        assert [hit.record.key for hit in memory.search("working")] == ["alice/plain"]


def test_an_import_replaces_or_keeps_existing_memories(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    with open_memory() as memory:
        memory.store("k", "old")
        memory.export_to(path)
        memory.store("k", "new")
        assert memory.import_from(path, replace_existing=False) == 0
        assert memory.get("k") == "new"
        assert memory.import_from(path) == 1
        assert memory.get("k") == "old"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"id": "i"}',
        '{"id": "i", "key": "k"}',
        '{"id": "i", "key": "", "value": 1}',
        '{"id": "i", "key": "k", "value": 1, "importance": 2}',
        '{"id": "i", "key": "k", "value": 1, "colour": "red"}',
        '{"id": "i", "key": "k", "value": 1, "packed": "AA=="}',
        '{"id": "i", "key": "k", "packed": "?"}',
        '{"id": "i", "key": "k", "value": 1, "tier": 9}',
        '{"id": "i", "key": "k", "value": 1, "created": "yesterday"}',
    ],
)
def test_a_line_that_is_not_a_memory_is_named_and_no_line_is_imported(tmp_path: Path, line: str) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(f'{{"what": "coterie memories", "version": 1}}\n{{"id": "a", "key": "good", "value": 1}}\n{line}\n')
    with open_memory() as memory:
        with pytest.raises(InvalidDump, match="line 3"):
            memory.import_from(path)
        assert memory.recent() == []


@pytest.mark.parametrize(
    "head", ["", "x", "[]", "{}", '{"what": "coterie memories"}', '{"what": "coterie memories", "version": 99}']
)
def test_a_file_that_is_something_else_or_from_the_future_is_refused(tmp_path: Path, head: str) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_text(f"{head}\n")
    with open_memory() as memory, pytest.raises(InvalidDump, match="line 1"):
        memory.import_from(path)


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        return {("key" if name == "name" else name): value for name, value in fields.items()}

    monkeypatch.setattr(dump, "VERSION", 2)
    monkeypatch.setitem(dump._UPGRADES, 1, upgrade)
    path = tmp_path / "dump.jsonl"
    path.write_text('{"what": "coterie memories", "version": 1}\n{"id": "a", "name": "k", "value": 7}\n')
    with open_memory() as memory:
        memory.import_from(path)
        assert memory.get("k") == 7


def test_a_line_can_be_read_by_anybody(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    with open_memory() as memory:
        memory.store("alice/goal", {"text": "find work"})
        memory.export_to(path)
    head, line = [json.loads(each) for each in path.read_text().splitlines()]
    assert head == {"what": "coterie memories", "version": 1}
    assert (line["key"], line["agent"], line["value"]) == ("alice/goal", "alice", {"text": "find work"})
