"""Memories of other systems: mem0, Letta agent files, stores of LangMem."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidExport
from coterie.errors.memory import DumpUnavailable
from coterie.memory import AgentMemory, TieredMemory, import_memories
from tests.memory.stores import open_memory

MEM0: dict[str, Any] = {
    "results": [
        {
            "id": "892db2ae-06d9-49e5-8b3e-585ef9b85b8e",
            "memory": "Name is Alex",
            "hash": "8bdd2a0a0b7f0b0e",
            "metadata": {"category": "person", "price": 5},
            "created_at": "2024-07-20T01:30:36.275141-07:00",
            "updated_at": None,
            "user_id": "alex",
        },
        {"id": "b", "memory": "Ama las manzanas", "metadata": None, "created_at": None, "user_id": "ana"},
    ],
    "relations": [{"source": "alex", "relationship": "lives_in", "target": "Rome"}],
}
LETTA = {
    "agents": [
        {
            "name": "helper",
            "block_ids": ["block-0", "block-1"],
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "You are"}], "id": "m-0"},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "I bought a bicycle"}],
                    "id": "m-1",
                    "created_at": "2025-01-02T03:04:05+00:00",
                },
                {"role": "assistant", "content": "Nice!", "id": "m-2", "created_at": "2025-01-02T03:04:06Z"},
                {"role": "tool", "content": "x", "id": "m-3"},
            ],
        }
    ],
    "blocks": [
        {"id": "block-0", "label": "human", "value": "Ann, a baker", "limit": 5000, "description": "The user."},
        {"id": "block-1", "label": "persona", "value": "x" * 30, "limit": 20},
    ],
    "tools": [{"name": "send_message"}],
}
LETTA_OLD = {
    "agent_type": "memgpt_agent",
    "core_memory": [{"label": "human", "value": "Ben", "limit": 5000}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hallo"}], "created_at": "2025-01-02T03:04:05"}],
    "version": "0.6.47",
}
LANGMEM: list[Any] = [
    {
        "namespace": ["memories", "ann"],
        "key": "k1",
        "value": {"kind": "Memory", "content": {"content": "Ann prefers dark mode"}},
        "created_at": "2025-02-04T00:40:02.405515+00:00",
        "updated_at": "2025-02-04T00:40:02.405519+00:00",
        "score": None,
    },
    {
        "namespace": ["memories", "ann"],
        "key": "k2",
        "value": {"kind": "Triple", "content": {"subject": "Ann", "predicate": "works at", "object": "Dior"}},
        "created_at": "2025-02-04T00:40:02+00:00",
    },
    {"namespace": "ben", "key": "k3", "value": {"text": "Ben sings"}},
]


@pytest.fixture
def mind() -> Iterator[AgentMemory]:
    with open_memory() as memory:
        yield AgentMemory(memory, "alice", consolidate_at=None)


def write(folder: Path, data: Any) -> Path:
    path = folder / "export.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_the_memories_of_mem0(mind: AgentMemory, tmp_path: Path) -> None:
    path = write(tmp_path, MEM0)
    report = import_memories(mind, path)
    assert (report.source, report.memories, report.episodes, report.known) == ("mem0", 3, 0, 0)
    assert [each.text for each in mind.recall("What is the name?", where={"category": "person"})] == ["Name is Alex"]
    assert mind.recall("manzana")[0].value["user_id"] == "ana"
    assert [(each.relation, each.name) for each in mind.neighbours("Alex")] == [("lives in", "Rome")]
    again = import_memories(mind, path)
    assert (again.memories, again.known) == (0, 3)
    assert mind.stats().semantic == 3
    rows = write(tmp_path, "\n".join(json.dumps(row) for row in MEM0["results"]))
    with open_memory() as memory:
        other = AgentMemory(memory, "bob", consolidate_at=None)
        chosen = import_memories(other, rows, agent="ana")
        assert (chosen.memories, chosen.left_out) == (1, {"memories of others": 1})


def test_an_agent_file_of_letta(mind: AgentMemory, tmp_path: Path) -> None:
    report = import_memories(mind, write(tmp_path, LETTA))
    assert (report.source, report.memories, report.episodes, report.blocks) == ("letta", 0, 2, 2)
    assert report.left_out == {"messages of role system": 1, "messages of role tool": 1, "tools": 1}
    human = mind.blocks["human"]
    assert (human.text, human.limit, human.description) == ("Ann, a baker", 5000, "The user.")
    assert mind.blocks["persona"].limit == 30
    mind.blocks.define("human", limit=9000)
    mind.blocks.write("human", "y" * 8000)
    import_memories(mind, write(tmp_path, LETTA))
    assert mind.blocks["human"].text == "Ann, a baker"
    said = mind.recent(after=0)
    assert [each.value["speaker"] for each in said] == ["assistant", "user"]
    assert said[1].created == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert import_memories(mind, write(tmp_path, LETTA)).known == 2
    assert import_memories(mind, write(tmp_path, LETTA_OLD)).episodes == 1
    assert mind.blocks["human"].text == "Ben"
    assert mind.blocks.versions("human")[1].text == "Ann, a baker"


def envelope(kind: str, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": json.dumps({"type": kind, "time": "2025-03-31", **fields})}]}


def call(name: str, thought: str, **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": [{"type": "text", "text": thought}],
        "tool_calls": [{"id": "c", "function": function, "type": "function"}],
    }


def test_what_an_agent_of_letta_says_by_its_tool_and_hears_in_envelopes(mind: AgentMemory, tmp_path: Path) -> None:
    messages = [
        envelope("login", last_login="Never"),
        envelope("user_message", message="my name is sarah"),
        call("core_memory_replace", "I write that down.", label="human"),
        call("send_message", "She will like this.", message="Welcome, Sarah!"),
        envelope("heartbeat", reason="time"),
        envelope("system_alert", message="messages are hidden"),
        {"role": "user", "content": "<system-reminder>a new directory</system-reminder>"},
        {"role": "user", "content": '{"type": "lamp"}'},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "Hm."}]},
    ]
    file = {"agent_type": "memgpt_agent", "name": "old", "core_memory": [], "messages": messages, "tools": [{"name": "x"}]}
    # Some files are JSON in a text of JSON.
    report = import_memories(mind, write(tmp_path, json.dumps(json.dumps(file))))
    assert [each.text for each in reversed(mind.recent())] == ["my name is sarah", "Welcome, Sarah!", '{"type": "lamp"}']
    assert report.left_out == {
        "messages of the program": 4,
        "messages of role assistant without words to the user": 2,
        "tools": 1,
    }
    assert import_memories(mind, write(tmp_path, file)).known == 3
    # The ids of messages are those of one file.
    other = {"agents": [{"name": "b", "messages": [{"role": "user", "content": "hi", "id": "m-1"}]}], "blocks": []}
    assert import_memories(mind, write(tmp_path, LETTA)).episodes == 2
    assert import_memories(mind, write(tmp_path, other)).episodes == 1


OPENMEMORY: dict[str, Any] = {
    "user": {"id": "u-1", "user_id": "ann"},
    "categories": [],
    "memories": [
        {"id": "1", "user_id": "u-1", "content": "Ann has a cat", "metadata": {}, "state": "active"},
        {"id": "2", "content": "Ann has a dog", "state": "deleted"},
        {
            "id": "3",
            "content": "Ann has a fish",
            "state": "archived",
            "created_at": "2025-01-01T00:00:00+00:00",
            "archived_at": "2025-02-01T00:00:00+00:00",
        },
    ],
    "export_meta": {"version": "1"},
}


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "memories_export_ann.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


def test_backups_of_openmemory(mind: AgentMemory, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({**row, "categories": ["pets"], "app": "chat"}) for row in OPENMEMORY["memories"])
    both = {"memories.json": json.dumps(OPENMEMORY).encode(), "memories.jsonl.gz": gzip.compress(lines.encode())}
    report = import_memories(mind, archive(tmp_path, both))
    assert (report.source, report.memories, report.left_out) == ("mem0", 2, {"deleted memories": 1})
    assert [each.text for each in mind.recall("What does Ann have?", valid_at=2e9)] == ["Ann has a cat"]
    january = datetime(2025, 1, 15, tzinfo=UTC).timestamp()
    assert [each.text for each in mind.recall("fish", valid_at=january)] == ["Ann has a fish"]
    assert import_memories(mind, archive(tmp_path, {"a/memories.json": both["memories.json"]})).known == 2
    packed = tmp_path / "memories.jsonl.gz"
    packed.write_bytes(both["memories.jsonl.gz"])
    assert import_memories(mind, packed).known == 2


def test_other_exports_of_mem0(mind: AgentMemory, tmp_path: Path) -> None:
    markdown = (
        "---\nid: abc\ncreated_at: 2024-01-01T00:00:00Z\ntype: habit\nbranch: \nfiles: a.py, b.py\ncategories: food, work\n---\n"
        "Ann eats at: noon\n\n---\nid: d\n---\n\n---\nid: e\n---\nAnn sings\n"
    )
    assert import_memories(mind, write(tmp_path, markdown)).memories == 2
    noon = mind.recall("noon", where={"type": "habit"})[0].value
    assert (noon["imported_id"], noon["files"], noon["categories"]) == ("abc", ["a.py", "b.py"], ["food", "work"])
    profile = {"full_name": "John Doe", "skills": ["Python", "AWS"], "years": 8}
    assert import_memories(mind, write(tmp_path, profile), source="mem0").memories == 1
    assert mind.recall("Python", where={"years": 8})[0].value["full_name"] == "John Doe"
    dated = {"results": [{"id": "t", "memory": "the trip is on", "expiration_date": "2024-07-10"}], "count": 1, "next": None}
    import_memories(mind, write(tmp_path, dated))
    day = datetime(2024, 7, 10, 12, tzinfo=UTC).timestamp()
    assert [len(mind.recall("trip", valid_at=at)) for at in (day, day + 86_400)] == [1, 0]


def test_rows_of_the_table_of_a_langgraph_store(mind: AgentMemory, tmp_path: Path) -> None:
    row = {
        "prefix": "memories.ann",
        "key": "k9",
        "value": json.dumps({"kind": "Episode", "content": {"observation": "asked about trees", "result": "understood"}}),
        "created_at": "2025-02-09T03:40:11.832614+00:00",
        "expires_at": None,
    }
    other = {**row, "key": "k8", "value": {"content": "likes tea"}}
    assert import_memories(mind, write(tmp_path, json.dumps(row) + "\n" + json.dumps(other))).memories == 2
    found = mind.recall("trees", where={"schema": "Episode", "namespace": "memories/ann"})
    assert [each.value["result"] for each in found] == ["understood"]


def test_a_store_of_langmem(mind: AgentMemory, tmp_path: Path) -> None:
    report = import_memories(mind, write(tmp_path, LANGMEM))
    assert (report.source, report.memories) == ("langmem", 3)
    assert mind.recall("dark mode")[0].value["namespace"] == "memories/ann"
    assert [each.name for each in mind.neighbours("Ann", valid_at=2e9)] == ["Dior"]
    assert import_memories(mind, write(tmp_path, {"items": LANGMEM}), agent="ben").known == 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "not that of an export"),
        ("nonsense", "neither JSON nor JSON lines"),
        ("[" * 100_000, r"nested too deeply|neither JSON"),
        ({"a": 1}, "not that of an export"),
        ([], "not that of an export"),
        ({"results": [{"id": 1}]}, "entry 1 has no text 'memory'"),
        ({"results": [MEM0["results"][0], 5]}, "entry 2 is not an object"),
        ({"results": {"a": 1}}, "a list is expected"),
        ({"results": [{"memory": "x", "created_at": "yesterday"}]}, "yesterday"),
        ({"results": [{"memory": "x", "metadata": "y"}]}, "metadata"),
        ({"version": "v9", "results": []}, "newer than this version knows"),
        ({"schema_version": 3, "agents": [], "blocks": []}, "newer"),
        ({"agents": [{"name": "a"}, {"name": "b"}], "blocks": []}, "the agents a, b; give agent="),
        ({"agents": [{"name": "a", "memory_blocks": [{"label": "x"}]}], "blocks": []}, "'value'"),
        ([{"namespace": ["a"], "key": "k", "value": 5}], "item 1 has no value"),
        ([{"namespace": ["a"], "value": {}}], "'key'"),
    ],
)
def test_what_cannot_be_imported_is_told_and_nothing_is_stored(
    mind: AgentMemory, tmp_path: Path, data: Any, problem: str
) -> None:
    with pytest.raises(InvalidExport, match=problem):
        import_memories(mind, write(tmp_path, data))
    assert (mind.stats().semantic, mind.stats().episodes, len(mind.blocks)) == (0, 0, 0)


def test_a_file_and_a_source_must_be_there(mind: AgentMemory, tmp_path: Path) -> None:
    with pytest.raises(DumpUnavailable):
        import_memories(mind, tmp_path / "none.json")
    with pytest.raises(InvalidExport, match="'zep' is not known"):
        import_memories(mind, write(tmp_path, MEM0), source="zep")
    for name, data in (("a.gz", gzip.compress(b"{}")[:-9]), ("b.zip", b"PK\x03\x04xxxx")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidExport, match="unpacked"):
            import_memories(mind, tmp_path / name)
    with pytest.raises(InvalidExport, match=r"no memories.jsonl.gz or memories.json"):
        import_memories(mind, archive(tmp_path, {"x.json": b"{}"}))
    blocks = [{"id": f"b{number}", "label": f"b{number}", "value": ""} for number in range(101)]
    many = {"agents": [{"name": "a", "block_ids": [each["id"] for each in blocks]}], "blocks": blocks}
    with pytest.raises(InvalidExport, match="101 memory blocks"):
        import_memories(mind, write(tmp_path, many))
    assert len(mind.blocks) == 0
    (tmp_path / "latin").write_bytes(b'{"results": ["\xff"]}')
    with pytest.raises(InvalidExport, match="UTF-8"):
        import_memories(mind, tmp_path / "latin")


def test_unpaired_surrogates_and_a_full_agent(tmp_path: Path) -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", max_episodes=1, consolidate_at=None)
        path = tmp_path / "a.json"
        path.write_text('{"results": [{"id": "1", "memory": "caf\\ud83d and \\ud83c\\udf89"}]}')
        assert import_memories(mind, path).memories == 1
        assert mind.recall("🎉")[0].text == "caf\ufffd and 🎉"
        with pytest.raises(InvalidExport, match="greater max_episodes"):
            import_memories(mind, write(tmp_path, LETTA))
        assert len(mind) == len(mind.blocks) == 0


def test_a_fact_of_an_earlier_time_does_not_replace_a_later_one(tmp_path: Path) -> None:
    rows = [
        {
            "namespace": ["a"],
            "key": str(year),
            "value": {"content": {"subject": "Ann", "predicate": "lives in", "object": town}},
            "created_at": f"{year}-01-01",
        }
        for year, town in ((2024, "Paris"), (2020, "Rome"))
    ]

    def held(memory: TieredMemory) -> list[str]:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        import_memories(mind, write(tmp_path, rows))
        return [each.name for each in mind.neighbours("Ann", valid_at=datetime(2025, 1, 1, tzinfo=UTC).timestamp())]

    with open_memory() as memory:
        assert held(memory) == ["Paris"]
