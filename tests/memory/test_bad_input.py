"""What makes no sense is refused where it is given: one clear error, and nothing of it is taken in."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import CoterieError, InvalidMemory, InvalidSetting
from coterie.errors.memory import DumpUnavailable, InvalidDump
from coterie.memory import AgentMemory, Insight, MemoryConfig, MemoryMonitor, TieredMemory, Weights, at_least
from tests.memory.stores import open_memory

NAN = float("nan")
BEYOND = 10**400
"""A whole number that no float can hold."""

HEAD = '{"what": "coterie memories", "version": 1}\n'


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[TieredMemory]:
    with open_memory(path=tmp_path / "run.db") as memory:
        yield memory


OPTIONS: list[dict[str, Any]] = [
    *({"ttl": each} for each in (0, -1, "5", NAN, BEYOND)),
    *({"text": each} for each in (5, b"bytes", "\ud800")),
    *({"context": each} for each in (5, "\ud800")),
    *({"sources": each} for each in ("abc", 5, [1], ["\ud800"])),
    *({"valid_from": each} for each in ("x", NAN, BEYOND, True)),
    *({"valid_until": each} for each in ("x", NAN)),
    *({"agent": each} for each in (5, "\ud800", "x" * 600)),
    *({"kind": each} for each in ("bogus", "house", 5, None)),
    {"priority": "HIGH"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_invalid_fields_are_refused_and_hide_no_other_memory(memory: TieredMemory, options: dict[str, Any]) -> None:
    memory.store("a/good", "kept")
    with pytest.raises(InvalidMemory):
        memory.store("a/bad", 1, **options)
    memory.flush()
    assert memory.get("a/bad") is None
    assert [record.key for record in memory.recent()] == ["a/good"]


@pytest.mark.parametrize(
    "options",
    [
        *({"limit": each} for each in (-1, "5", True, 10**30)),
        *({"after": each} for each in ("x", NAN, BEYOND)),
        *({"agent": each} for each in (5, [5])),
        *({"kinds": each} for each in (5, [5], ["bogus"], ["house"])),
    ],
    ids=repr,
)
def test_invalid_requests_are_refused(memory: TieredMemory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidMemory):
        memory.recent(**options)
    with pytest.raises(InvalidMemory):
        memory.search("anything", **options)


def test_a_question_is_text_and_one_kind_may_stand_alone(memory: TieredMemory) -> None:
    mind = AgentMemory(memory, "alice")
    for ask in (memory.search, mind.recall):
        with pytest.raises(InvalidMemory):
            ask(None)  # type: ignore[arg-type]
    mind.remember("apples are red")
    assert len(mind.recall("apples", kinds="episode")) == 1
    assert mind.recall("apples", kinds="semantic") == []


def test_one_huge_word_causes_no_wait(memory: TieredMemory) -> None:
    with open_memory() as in_process:
        in_process.store("k", "z" * 5_000_000)
        in_process.flush(5.0)
        assert [hit.record.key for hit in in_process.search("z" * 70)] == ["k"]


@pytest.mark.parametrize(
    "options",
    [
        *({"at": each} for each in ("x", NAN, float("inf"), True)),
        *({"text": each} for each in (5, "\ud800")),
        {"ttl": -1},
        {"valid_until": NAN},
        {"importance": 2},
    ],
    ids=repr,
)
def test_an_invalid_episode_is_refused_and_not_counted(memory: TieredMemory, options: dict[str, Any]) -> None:
    mind = AgentMemory(memory, "alice")
    mind.remember("the market was closed")
    with pytest.raises(InvalidMemory):
        mind.remember("hello", **options)
    memory.flush()
    assert len(mind) == len(mind.recent()) == len(mind.recall("market hello")) == 1


@pytest.mark.parametrize(
    "options",
    [
        *({"max_episodes": each} for each in (0, "5", True)),
        *({"eviction": each} for each in ("bogus", 5)),
        *({"max_age": each} for each in (-1, "x", NAN)),
        *({"warn_at": each} for each in (-1, "x")),
        {"consolidate_at": 0},
        {"summariser": 5},
        {"embedder": 5},
        {"on_warning": 5},
        {"weights": 5},
    ],
    ids=repr,
)
def test_invalid_settings_of_a_handle_are_refused(memory: TieredMemory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        AgentMemory(memory, "alice", **options)


def test_a_handle_needs_a_memory() -> None:
    with pytest.raises(InvalidSetting):
        AgentMemory(None, "alice")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"keep": 1},
        {"keep": "x"},
        {"usage_above": "x"},
        {"growth_above": NAN},
        {"interval": 0},
        {"interval": -1},
        {"interval": "x"},
    ],
    ids=repr,
)
def test_invalid_settings_of_a_monitor_are_refused(memory: TieredMemory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        MemoryMonitor(AgentMemory(memory, "alice"), **options)


@pytest.mark.parametrize(
    "options", [{"text": "x"}, {"text": True}, {"recency": NAN}, {"half_life": 0}, {"half_life": "x"}], ids=repr
)
def test_weights_are_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        Weights(**options)


@pytest.mark.parametrize("answer", [None, 5, "abc", [5], [Insight("x", ())], [Insight("x", ("none",))]], ids=repr)
def test_a_summariser_with_an_invalid_result_fails_and_its_episodes_wait_for_the_next_run(
    memory: TieredMemory, answer: Any
) -> None:
    mind = AgentMemory(memory, "alice", consolidate_at=None, summariser=lambda _: answer)
    mind.remember("apples")
    with pytest.raises(InvalidMemory):
        mind.consolidate(force=True)
    assert (mind.stats().unconsolidated, mind.stats().semantic) == (1, 0)


def test_an_invalid_insight_discards_the_others_too(memory: TieredMemory) -> None:
    mind = AgentMemory(
        memory,
        "alice",
        consolidate_at=None,
        summariser=lambda episodes: [Insight("good", (episodes[0].id,)), Insight("bad", (episodes[0].id,), importance=5)],
    )
    mind.remember("apples")
    with pytest.raises(InvalidMemory):
        mind.consolidate(force=True)
    assert mind.recent(kinds=["semantic"]) == []


@pytest.mark.parametrize(
    "settings",
    [
        *({"path": each} for each in ("", 5, b"x", "a\0b", ":memory:", "file:x", "mysql://x")),
        *({"postgres_url": each} for each in ("", 5, "http://x", "postgresql://")),
        *({"redis_url": each} for each in ("http://x", "redis://", "redis://h:x", "redis://h:99999", "redis://h/notadb")),
        {"namespace": ""},
        {"namespace": 5},
        {"compression": "yes"},
    ],
    ids=repr,
)
def test_a_place_that_is_none_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        MemoryConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"redis_url": "redis://me:s3cret@host:port"},
        {"redis_url": "redis://me:s3/cret@host"},
        {"redis_url": "http://me:s3cret@host"},
        {"postgres_url": "redis://host?password=s3cret"},
        {"path": "mysql://me:s3cret@host"},
        {"path": "postgresql://me:s3cret@host/x", "postgres_url": "postgresql://me:s3cret@host/y"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_no_error_about_an_address_shows_its_password(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting) as refused:
        MemoryConfig(**settings)
    assert "s3" not in str(refused.value)


def test_a_configuration_shows_no_password() -> None:
    config = MemoryConfig(redis_url="redis://me:s3cret@host", postgres_url="postgresql://me:s3cret@host/x")
    assert "s3cret" not in repr(config)


def test_a_file_of_memories_that_cannot_be_reached_is_named(memory: TieredMemory, tmp_path: Path) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: memory.export_to(tmp_path / "missing" / "x.jsonl"),
        lambda: memory.export_to(tmp_path),
        lambda: memory.import_from(tmp_path / "missing.jsonl"),
        lambda: memory.import_from(tmp_path),
    ]
    for attempt in attempts:
        with pytest.raises(DumpUnavailable, match=str(tmp_path)):
            attempt()
    with pytest.raises(InvalidSetting):
        memory.import_from(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidMemory):
        memory.export_to(tmp_path / "x.jsonl", agent=5)  # type: ignore[arg-type]


def test_an_export_that_fails_leaves_no_half_of_a_file(memory: TieredMemory, tmp_path: Path, monkeypatch: Any) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    memory.store("k", 1)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DumpUnavailable, match="No space"):
        memory.export_to(tmp_path / "x.jsonl")
    assert not list(tmp_path.glob("x.jsonl*"))


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "1", "key": "a", "value": 1, "kind": "bogus"}',
        '{"id": "1", "key": "alice/goal", "value": 1, "kind": "house"}',
        '{"id": "", "key": "a", "value": 1}',
        '{"id": "1", "key": "a", "packed": "wQ=="}',
        '{"id": "1", "key": "a", "value": 1, "model": "m"}',
        '{"id": "1", "key": "a", "value": 1, "agent": "' + "x" * 600 + '"}',
        '{"id": "1", "key": "a", "value": "' + "x" * 200 + '"}',
    ],
    ids=["kind", "house", "id", "packed", "vector", "agent", "long"],
)
def test_records_that_store_would_refuse_are_not_imported(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(HEAD + '{"id": "0", "key": "good", "value": 1}\n' + line)
    with open_memory(max_value_bytes=100) as memory:
        with pytest.raises(InvalidDump, match="line 3"):
            memory.import_from(path)
        assert memory.recent() == []


def test_a_version_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(HEAD.replace("1", "true"))
    with open_memory() as memory, pytest.raises(InvalidDump):
        memory.import_from(path)


def test_an_id_of_another_house_is_only_an_id(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        HEAD + '{"id": "zz", "key": "bob/episode/zz", "agent": "bob", "kind": "episode", "value": "hi", "text": "hi"}'
    )
    with open_memory() as memory:
        memory.import_from(path)
        mind = AgentMemory(memory, "bob")
        assert [each.id for each in mind.recent()] == ["zz"]
        mind.forget("zz")
        assert len(mind) == 0


def test_all_of_these_are_errors_of_the_house() -> None:
    assert issubclass(DumpUnavailable, CoterieError)
    assert issubclass(DumpUnavailable, OSError)


@pytest.mark.parametrize(
    "where", [{"\ud800": 1}, {"address": {"": 1}}, {"address": {"city": {}}}, {"address": {"city": ["Rome"]}}]
)
def test_a_filter_of_fields_that_cannot_exist_is_refused(where: dict[str, Any]) -> None:
    with open_memory() as memory, pytest.raises(InvalidMemory):
        AgentMemory(memory, "alice").recall("soup", where=where)


def test_a_filter_may_be_as_deep_as_a_value() -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice")
        for city in ("Rome", "Oslo"):
            mind.remember({"content": "soup", "address": {"city": city, "place": {"floor": 2}}})
        deep = {"address": {"city": "Rome", "place": {"floor": at_least(2)}}}
        assert [each.value["address"]["city"] for each in mind.recall("soup", where=deep)] == ["Rome"]
