"""Facts, blocks and forgetting give the same answers in the same order on every database."""

from pathlib import Path
from typing import Any

import pytest

from coterie.memory import AgentMemory, TieredMemory, forget_person
from coterie.testing import ManualClock
from tests.memory.stores import open_memory


def answers(memory: TieredMemory, clock: ManualClock) -> list[Any]:
    mind = AgentMemory(memory, "alice", consolidate_at=None)
    for text in ("the rain fell", "Zebulon sings", "the market opened"):
        mind.remember(text)
    for town in ("Rome", "Paris", "Oslo"):
        mind.learn({"subject": "Bob", "relation": "lives in", "object": town})
        clock.advance(10)
    for drink in ("tea", "milk"):
        mind.learn({"subject": "Bob", "relation": "likes", "object": drink})
    mind.blocks.define("user", "Zebulon's friend\nother")
    found: list[Any] = [
        [each.text for each in mind.recall("Where does Bob live?")],
        [each.text for each in mind.recall("Where does Bob live?", valid_at=clock.time() - 25)],
        [each.text for each in mind.history("Bob")],
        [each.name for each in mind.neighbours("Bob")],
        [each.text for each in mind.recall("rain market")],
    ]
    report = forget_person(memory, subject="Zebulon")
    found.append((report.memories, report.derived, report.blocks, report.contexts))
    found.append([each.text for each in mind.recent()])
    return [*found, mind.blocks["user"].text, mind.recall("Zebulon")]


def test_facts_blocks_and_forgetting_are_alike_on_all_databases(tmp_path: Path, postgres_url: str) -> None:
    found = []
    settings: list[dict[str, Any]] = [{}, {"path": tmp_path / "a.db"}, {"postgres_url": postgres_url}]
    for each in settings:
        clock = ManualClock()
        with open_memory(clock, **each) as memory:
            found.append(answers(memory, clock))
    assert found[0] == found[1] == found[2]
    assert found[0][0][0] == "Bob lives in Oslo"
    assert found[0][1][0] == "Bob lives in Rome"


@pytest.mark.parametrize("subject", ["café", "CAFÉ", "cafe"])
def test_a_forgotten_subject_is_found_by_no_form_of_its_name(subject: str) -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        mind.remember("We met in the Café.")
        mind.remember("We went home.")
        assert forget_person(memory, subject=subject).memories == 1
        for question in ("café", "CAFE", "cafes"):
            assert mind.recall(question) == []
