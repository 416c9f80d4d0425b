"""Facts that change: contradictions, histories, duplicates, citations and the graph."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidMemory
from coterie.memory import AgentMemory, Fact, Insight, Memory, ModelExtractor, TieredMemory
from coterie.memory.mind.facts import facts_in, has_many, name_key, relation_key
from coterie.testing import ManualClock
from tests.memory.stores import open_memory


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> Iterator[TieredMemory]:
    with open_memory(clock) as memory:
        yield memory


def mind_of(memory: TieredMemory, **options: Any) -> AgentMemory:
    return AgentMemory(memory, "alice", **{"consolidate_at": None, **options})


def fact(subject: str, relation: str, target: str, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "relation": relation, "object": target, **more}


def objects(memories: Sequence[Memory]) -> list[str]:
    return [each.fact.object for each in memories if each.fact is not None]


def test_a_contradicted_fact_ends_and_the_new_one_cites_it(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    began = clock.time()
    rome = mind.learn(fact("Bob", "lives in", "Rome"))
    clock.advance(100)
    paris = mind.learn(fact("bob", "lives_in", "Paris"))
    old, new = mind.get(rome), mind.get(paris)
    assert (old.valid_from, old.valid_until) == (None, began + 100)
    assert (new.valid_from, new.valid_until) == (began + 100, None)
    assert rome in new.sources
    assert new.fact is not None
    assert new.fact.replaces == (rome,)
    clock.advance(100)
    assert objects(mind.recall("Where does Bob live?")) == ["Paris"]
    assert objects(mind.recall("Where does Bob live?", valid_at=began + 50)) == ["Rome"]
    assert objects(mind.history("BOB")) == ["Rome", "Paris"]
    assert mind.history("BOB", "living in") != []
    assert mind.history("Bob", "works at") == []
    assert (mind.stats().contradicted, mind.stats().semantic) == (1, 2)


# Subject, relation, objects in the order in which they are learnt, and those that hold at the end.
BANK: list[tuple[str, str, list[str], list[str]]] = [
    ("Bob", "lives in", ["Rome", "Paris"], ["Paris"]),
    ("Bob", "lives in", ["Rome", "Paris", "Rome"], ["Rome"]),
    ("Bob", "is living in", ["Rome", "ROME "], ["Rome"]),
    ("Bob", "works at", ["Fiat", "Ferrari"], ["Ferrari"]),
    ("Bob", "employer", ["Fiat", "Ferrari"], ["Ferrari"]),
    ("Bob", "age", ["41", "42"], ["42"]),
    ("Bob", "has age", ["41", "42"], ["42"]),
    ("Bob", "is married to", ["Ann", "Eve"], ["Eve"]),
    ("Bob", "favourite food", ["pizza", "sushi"], ["sushi"]),
    ("Bob", "phone number", ["+39 1", "+39 2"], ["+39 2"]),
    ("Bob", "status", ["single", "married", "divorced"], ["divorced"]),
    ("Bob", "born in", ["Rome", "Milan"], ["Milan"]),
    ("Bob", "likes", ["tea", "coffee"], ["tea", "coffee"]),
    ("Bob", "knows", ["Ann", "Eve", "ann"], ["Ann", "Eve"]),
    ("Bob", "speaks", ["Italian", "German"], ["Italian", "German"]),
    ("Bob", "has friend", ["Ann", "Eve"], ["Ann", "Eve"]),
    ("Bob", "hobbies", ["chess", "running"], ["chess", "running"]),
    ("Bob", "allergic to", ["nuts", "milk"], ["nuts", "milk"]),
    ("Jörg", "wohnt in", ["Köln", "Straßburg"], ["Straßburg"]),
    ("Jörg", "mag", ["Äpfel", "Birnen"], ["Äpfel", "Birnen"]),
    ("美咲", "住所", ["東京", "大阪"], ["大阪"]),
    ("Маша", "живёт в", ["Москве", "Риге"], ["Риге"]),
]


@pytest.mark.parametrize(("subject", "relation", "learnt", "held"), BANK, ids=[f"{each[1]} {len(each[2])}" for each in BANK])
def test_the_bank_of_contradictory_facts(subject: str, relation: str, learnt: list[str], held: list[str]) -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        mind = mind_of(memory)
        for each in learnt:
            mind.learn(fact(subject, relation, each))
            clock.advance(10)
        assert [each.name for each in mind.neighbours(subject)] == held
        assert objects(mind.recall(f"{subject} {relation}")[::-1]) == held or len(held) > 1
        history = mind.history(subject)
        assert len(history) == len(dict.fromkeys(map(name_key, learnt))) + (learnt.count(learnt[-1]) == 2)


def test_words_of_a_relation_are_compared_without_their_form() -> None:
    assert {relation_key(each) for each in ("lives in", "lives_in", "livesIn", "Lived in", "is living in")} == {"live in"}
    assert relation_key("born in") != relation_key("born on")
    assert name_key("  bob SMITH. ") == name_key("Bob Smith")
    assert name_key("Жанна") != name_key("Bob")
    assert name_key("🎉") == "🎉"
    assert has_many("likes")
    assert not has_many("favourite food")
    assert not has_many("native language")


def test_facts_are_found_in_structured_values() -> None:
    assert facts_in(fact("Bob", "age", "41")) == [Fact("Bob", "age", "41")]
    assert facts_in({"source": "Bob", "relationship": "knows", "target": "Ann"}) == [Fact("Bob", "knows", "Ann")]
    assert facts_in(("Bob", "knows", "Ann")) == [Fact("Bob", "knows", "Ann")]
    assert facts_in({"name": "Bob", "age": 41, "vegan": True, "type": "person"}) == [
        Fact("Bob", "age", "41"),
        Fact("Bob", "vegan", "yes"),
    ]
    assert facts_in({"name": "Bob", "pets": ["Rex", "Tom"]}) == [
        Fact("Bob", "pets", "Rex", many=True),
        Fact("Bob", "pets", "Tom", many=True),
    ]
    assert facts_in(fact("Bob", "likes", "tea", negated=True))[0].negated
    others: list[Any] = [
        "Bob lives in Rome",
        {"content": "x", "name": "Bob"},
        {"subject": "Bob", "relation": "age"},
        None,
        5,
        [],
        {},
    ]
    for each in others:
        assert facts_in(each) == []


@pytest.mark.parametrize("wrong", [Fact("", "a", "b"), Fact("a", " ", "b"), Fact("a", "b", "\ud800"), Fact("a", "b", 5)])  # type: ignore[arg-type]
def test_an_invalid_fact_is_refused_and_nothing_is_stored(memory: TieredMemory, wrong: Fact) -> None:
    mind = mind_of(memory)
    with pytest.raises(InvalidMemory, match="fact"):
        mind.learn(wrong)
    assert mind.stats().semantic == 0


def test_duplicates_are_merged_with_both_citations(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    one, two = mind.remember("Bob: I live in Rome"), mind.remember("Bob is a Roman")
    first = mind.learn(fact("Bob", "lives in", "Rome"), 0.3, sources=[one])
    assert mind.learn(fact("bob", "Lived in", "rome"), 0.7, sources=[two]) == first
    assert (mind.get(first).sources, mind.get(first).importance) == ((one, two), 0.7)
    text = mind.learn("The sky is blue.", sources=[one])
    assert mind.learn("The sky is blue.", sources=[two]) == text
    assert mind.get(text).sources == (one, two)
    assert (mind.stats().semantic, mind.stats().merged) == (2, 2)
    assert [each.id for each in mind.explain(first).episodes] == [one, two]


def test_a_fact_is_explained_by_its_own_episodes_and_not_by_those_of_the_one_it_replaced(
    memory: TieredMemory, clock: ManualClock
) -> None:
    mind = mind_of(memory)
    before, after = mind.remember("I live in Rome"), mind.remember("I moved to Bonn")
    rome = mind.learn(fact("Ann", "lives in", "Rome"), sources=[before])
    clock.advance(10)
    bonn = mind.learn(fact("Ann", "lives in", "Bonn"), sources=[after])
    explained = mind.explain(bonn)
    assert [each.id for each in explained.episodes] == [after]
    assert {each.id for each in explained.sources} == {after, rome}


def test_facts_may_be_learnt_in_any_order_of_their_times(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    now = clock.time()
    mind.learn(fact("Bob", "lives in", "Rome"), valid_from=now - 100)
    oslo = mind.learn(fact("Bob", "lives in", "Oslo"), valid_from=now - 300)
    mind.learn(fact("Bob", "lives in", "Paris"), valid_from=now - 200, valid_until=now - 150)
    assert mind.get(oslo).valid_until == now - 200

    def held(ago: float) -> list[str]:
        return [each.name for each in mind.neighbours("Bob", valid_at=now - ago)]

    assert [held(ago) for ago in (0, 120, 180, 250, 400)] == [["Rome"], ["Oslo"], ["Paris"], ["Oslo"], []]
    assert objects(mind.history("Bob")) == ["Oslo", "Paris", "Oslo", "Rome"]
    other = mind.learn(fact("Ann", "lives in", "Bonn"))
    mind.learn(fact("Ann", "lives in", "Ulm"), valid_until=now - 50)
    assert mind.get(other).valid_from == now - 50
    assert [each.name for each in mind.neighbours("Ann", valid_at=now - 60)] == ["Ulm"]


def test_a_negation_ends_a_fact_and_is_ended_by_it(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    for step in (False, True, False):
        mind.learn(fact("Bob", "likes", "tea", negated=step))
        mind.learn(fact("Bob", "likes", "milk"))
        clock.advance(10)
    assert {each.name for each in mind.neighbours("Bob")} == {"tea", "milk"}
    assert {each.name for each in mind.neighbours("Bob", valid_at=clock.time() - 15)} == {"milk"}


def test_the_properties_of_a_thing_change_one_by_one(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    whole = mind.learn({"name": "Bob", "city": "Rome", "age": 41})
    clock.advance(10)
    mind.learn({"name": "Bob", "city": "Paris"})
    assert {(each.relation, each.name) for each in mind.neighbours("Bob")} == {("age", "41"), ("city", "Paris")}
    assert mind.get(whole).valid_until == clock.time()
    assert "Rome" not in " ".join(each.text for each in mind.recall("Bob city"))
    assert "41" in " ".join(each.text for each in mind.recall("Bob age"))


def test_names_are_connected_by_paths(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    for subject, relation, target in (
        ("Ann", "knows", "Bob"),
        ("Bob", "works at", "Fiat"),
        ("Carla", "works at", "Fiat"),
        ("Carla", "knows", "Dan"),
        ("Ann", "knows", "Carla"),
    ):
        mind.learn(fact(subject, relation, target))
    assert [(each.name, each.relation, each.forward) for each in mind.neighbours("fiat")] == [
        ("Bob", "works at", False),
        ("Carla", "works at", False),
    ]
    assert [[each.name for each in path] for path in mind.paths("Ann", "Dan")] == [["Carla", "Dan"]]
    assert [[each.name for each in path] for path in mind.paths("Ann", "Dan", depth=4)] == [
        ["Carla", "Dan"],
        ["Bob", "Fiat", "Carla", "Dan"],
    ]
    assert mind.paths("Ann", "nobody") == []
    assert mind.neighbours("nobody") == []
    before = clock.time()
    clock.advance(10)
    mind.learn(fact("Carla", "knows", "Dan", negated=True))
    assert mind.paths("Ann", "Dan", depth=9) == []
    assert len(mind.paths("Ann", "Dan", valid_at=before)) == 1
    with pytest.raises(InvalidMemory, match="depth"):
        mind.paths("Ann", "Dan", depth=0)


def model(answers: dict[str, list[dict[str, Any]]]) -> ModelExtractor:
    """Return an extractor whose model finds those facts in the texts that contain a word."""

    def complete(prompt: str) -> str:
        text = prompt.partition("<text>")[2]
        return f"Here you are:\n```json\n{json.dumps([each for word, found in answers.items() if word in text for each in found])}\n```"

    return ModelExtractor(complete)


def test_a_model_extracts_facts_with_a_quote(memory: TieredMemory, clock: ManualClock) -> None:
    extractor = model(
        {
            "Rome": [
                fact("Ann", "lives in", "Rome", quote="moved to  rome"),
                fact("Ann", "likes", "pizza", quote="never said", many=True),
                fact("Ann", "", "x", quote="I"),
            ],
            "Paris": [fact("Ann", "lives in", "Paris", quote="Paris"), fact("Ann", "works at", "Dior", quote="Dior")],
        }
    )
    mind = mind_of(memory, extractor=extractor)
    rome = mind.learn("Last year I moved to Rome.")
    found = mind.get(rome)
    assert (found.value, found.text) == ("Last year I moved to Rome.", "Last year I moved to Rome.")
    assert found.fact == Fact("Ann", "lives in", "Rome", ((rome, "moved to  rome"),), many=False)
    assert extractor.rejected == 2
    assert mind.learn("We live in Rome; we moved to Rome.") == rome, "it is merged"
    assert mind.stats().semantic == 1
    clock.advance(10)
    episode = mind.remember({"speaker": "Ann", "content": "I live in Paris now, and work for Dior."})
    done = mind.consolidate(force=True)
    assert len(done.semantic) == 3
    assert [each.name for each in mind.neighbours("Ann")] == ["Paris", "Dior"]
    assert mind.get(rome).valid_until is not None
    paris = mind.history("Ann", "lives in")[-1]
    assert paris.fact is not None
    assert paris.fact.quotes == ((episode, "Paris"),)
    assert [each.id for each in mind.explain(paris.id).episodes] == [episode]


def test_a_text_with_several_facts_is_their_source(memory: TieredMemory, clock: ManualClock) -> None:
    extractor = model(
        {"Paris": [fact("Ann", "lives in", "Paris", quote="Paris"), fact("Ann", "works at", "Dior", quote="Dior")]}
    )
    mind = mind_of(memory, extractor=extractor)
    episode = mind.remember("hello")
    text = mind.learn("I live in Paris and work for Dior.", sources=[episode])
    for each in mind.history("Ann"):
        assert each.sources == (text,)
        assert [root.id for root in mind.explain(each.id).episodes] == [episode]
    clock.advance(10)
    mind.learn(fact("Ann", "lives in", "Rome"))
    assert mind.get(text).valid_until == clock.time()
    assert {each.name for each in mind.neighbours("Ann")} == {"Rome", "Dior"}


@pytest.mark.parametrize("answer", ["no list", "[1, 2", "", '{"a": 1}'])
def test_an_extractor_that_fails_costs_no_memory(memory: TieredMemory, answer: str, caplog: Any) -> None:
    mind = mind_of(memory, extractor=ModelExtractor(lambda _: answer))
    assert mind.get(mind.learn("Bob lives in Rome")).fact is None
    assert "no facts were extracted" in caplog.text
    mind.remember("Bob lives in Rome")
    with pytest.raises(InvalidMemory, match="not a JSON list"):
        mind.consolidate(force=True)
    assert mind.stats().unconsolidated == 1


@pytest.mark.parametrize("answer", [None, "abc", [5], [Fact("", "", "")]], ids=repr)
def test_an_extractor_returns_facts(memory: TieredMemory, answer: Any) -> None:
    mind = mind_of(memory, extractor=lambda _: answer)
    mind.remember("x")
    with pytest.raises(InvalidMemory, match=r"extractor|fact"):
        mind.consolidate(force=True)


def test_the_insights_of_a_summariser_may_be_facts(memory: TieredMemory) -> None:
    def summarise(episodes: Sequence[Memory]) -> list[Insight]:
        return [Insight("Bob lives in Rome", (each.id,), fact=Fact("Bob", "lives in", "Rome")) for each in episodes]

    mind = mind_of(memory, summariser=summarise)
    names = [mind.remember("a"), mind.remember("b")]
    done = mind.consolidate(force=True)
    assert len(done.semantic) == 1
    assert mind.get(done.semantic[0]).sources == tuple(names)


def test_forgetting_a_source_of_two_leaves_the_fact_with_the_other(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    one, two = mind.remember("I live in Rome"), mind.remember("Rome is my home")
    said = Fact("Bob", "lives in", "Rome", ((one, "in Rome"), (two, "Rome is my home")))
    rome = mind.learn(said, sources=[one, two])
    assert mind.forget(one) == [one]
    found = mind.get(rome)
    assert found.sources == (two,)
    assert found.fact is not None
    assert found.fact.quotes == ((two, "Rome is my home"),)
    assert mind.forget(two) == [two, rome]
    assert mind.history("Bob") == []


def test_forgetting_a_fact_brings_the_one_back_that_it_had_replaced(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    rome = mind.learn(fact("Bob", "lives in", "Rome"))
    clock.advance(10)
    paris = mind.learn(fact("Bob", "lives in", "Paris"))
    clock.advance(10)
    oslo = mind.learn(fact("Bob", "lives in", "Oslo"))
    assert mind.forget(oslo) == [oslo]
    assert [each.name for each in mind.neighbours("Bob")] == ["Paris"]
    assert mind.forget(rome) == [rome], "the fact that replaced it stays"
    assert mind.get(paris).sources == ()
    assert objects(mind.history("Bob")) == ["Paris"]


def test_an_update_corrects_a_memory(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    rome = mind.learn(fact("Bob", "lives in", "Rome"))
    mind.update(rome, fact("Bob", "lives in", "Ravenna"))
    assert objects(mind.recall("Where does Bob live?")) == ["Ravenna"]
    assert [each.name for each in mind.neighbours("Bob")] == ["Ravenna"]
    assert mind.recall("Rome") == []
    before, name, after = (mind.remember(each) for each in ("apple", "pear", "plum"))
    mind.update(name, "cherry")
    assert mind.get(name).value == "cherry"
    assert mind.recall("pear") == []
    assert {each.id for each in mind.recall("cherry")} == {before, name, after}, "its neighbours have it as context"


def test_facts_are_there_after_a_restart_and_an_import(tmp_path: Path, clock: ManualClock) -> None:
    with open_memory(clock, path=tmp_path / "a.db") as memory:
        mind_of(memory).learn(fact("Bob", "lives in", "Rome"))
        clock.advance(10)
        mind_of(memory).learn(fact("Bob", "lives in", "Paris"))
        memory.export_to(tmp_path / "dump.jsonl")
    with open_memory(clock, path=tmp_path / "a.db") as memory:
        mind = mind_of(memory)
        clock.advance(10)
        mind.learn(fact("Bob", "lives in", "Oslo"))
        assert objects(mind.history("Bob")) == ["Rome", "Paris", "Oslo"]
        assert [each.name for each in mind.neighbours("Bob")] == ["Oslo"]
    with open_memory(clock) as memory:
        mind = mind_of(memory)
        assert mind.history("Bob") == []
        memory.import_from(tmp_path / "dump.jsonl")
        assert objects(mind.history("Bob")) == ["Rome", "Paris"]


def test_a_replaced_fact_that_a_crash_left_open_is_ended(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    rome = mind.learn(fact("Bob", "lives in", "Rome"))
    clock.advance(10)
    mind.learn(fact("Bob", "lives in", "Paris"))
    record = memory.record(f"alice/semantic/{rome}")
    assert record is not None
    mind._writer.change(record.key, valid_until=None)
    mind._facts.reset()
    assert [each.name for each in mind.neighbours("Bob")] == ["Paris"]


def test_many_changes_of_one_fact_leave_one_answer(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    for number in range(120):
        mind.learn(fact("Bob", "lives in", f"Town {number}"))
        clock.advance(1)
    assert objects(mind.recall("Where does Bob live? Which town?")) == ["Town 119"]
    assert len(mind.history("Bob")) == 120
