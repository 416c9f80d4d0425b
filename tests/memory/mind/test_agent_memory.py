"""What an agent remembers: episodes, their bound, and what is made of them."""

import math
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from coterie.errors import InvalidMemory, NotShared, UnknownMemory
from coterie.memory import AgentMemory, EvictionPolicy, Insight, Memory, TieredMemory, Weights, at_least, at_most, has
from coterie.memory.mind.consolidation import extractive_summary
from coterie.memory.mind.eviction import first_stored, least_relevant, oldest
from coterie.memory.mind.items import AgentMemoryStatistics
from coterie.testing import ManualClock, Together, checked_locks, eventually, run_together
from tests.memory.stores import FlakyArchive, open_memory


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> Iterator[TieredMemory]:
    with open_memory(clock) as memory:
        yield memory


def mind_of(memory: TieredMemory, agent: str = "alice", **options: Any) -> AgentMemory:
    return AgentMemory(memory, agent, **{"consolidate_at": None, **options})


def values(memories: Sequence[Memory]) -> list[Any]:
    return [each.value for each in memories]


class Gate:
    """A summariser that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, episodes: Sequence[Memory]) -> list[Insight]:
        self.batches.append([each.id for each in episodes])
        self.entered.set()
        assert self.opened.wait(20)
        return extractive_summary(episodes)


def test_an_episode_comes_back_with_all_that_was_said_about_it(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    name = mind.remember({"content": "Bob lent me 5 coins", "type": "observation"}, importance=0.6)
    found = mind.get(name)
    assert found.value == {"content": "Bob lent me 5 coins", "type": "observation"}
    assert (found.id, found.kind, found.importance, found.created) == (name, "episode", 0.6, clock.time())
    assert found.text == "Bob lent me 5 coins"
    assert len(mind) == 1


def test_an_episode_of_another_time_has_that_time(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    mind.remember("now")
    mind.remember("long ago", at=5.0)
    assert values(mind.recent()) == ["now", "long ago"]
    assert values(mind.recent(before=clock.time())) == ["long ago"]


@pytest.mark.parametrize("importance", [-1, 2, math.nan, "x"])
def test_an_invalid_importance_is_refused(memory: TieredMemory, importance: Any) -> None:
    mind = mind_of(memory)
    with pytest.raises(InvalidMemory, match="importance"):
        mind.remember("x", importance=importance)
    assert mind.stats().remembered == 0


@pytest.mark.parametrize("agent", ["", " ", "a\nb", 3])
def test_an_agent_has_a_name(memory: TieredMemory, agent: Any) -> None:
    with pytest.raises(InvalidMemory):
        AgentMemory(memory, agent)


def test_fifo_deletes_the_episodes_stored_first(memory: TieredMemory) -> None:
    mind = mind_of(memory, max_episodes=3, eviction="fifo")
    for n in range(5):
        mind.remember(n, at=100.0 - n, importance=n / 10)
    assert sorted(values(mind.recent())) == [2, 3, 4]
    statistics = mind.stats()
    assert (statistics.episodes, statistics.remembered, statistics.cleaned) == (3, 5, 2)


def test_age_deletes_the_earliest_episodes_and_all_that_are_too_old(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory, max_episodes=3, eviction=EvictionPolicy.AGE, max_age=50)
    for n in range(5):
        mind.remember(n, at=clock.time() - n)
    # The newest always stays, though it happened first.
    assert sorted(values(mind.recent())) == [0, 1, 4]
    clock.advance(60)
    mind.remember("new")
    assert values(mind.recent()) == ["new"]


def test_relevance_deletes_the_weakest_episodes(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory, max_episodes=3, eviction="relevance")
    mind.remember("important", importance=1.0)
    mind.remember("plain", importance=0.2)
    mind.remember("plain too", importance=0.3)
    mind.remember("dull", importance=0.0)
    assert sorted(values(mind.recent())) == ["dull", "important", "plain too"]
    mind.remember("the last", importance=0.1)
    assert sorted(values(mind.recent())) == ["important", "plain too", "the last"]


def test_the_eviction_policies_are_pure_functions(memory: TieredMemory) -> None:
    times = {"a": 3.0, "b": 1.0, "c": 2.0}
    assert first_stored(times, 2) == ["a", "b"]
    assert oldest(times, 2, 10.0, None) == ["b", "c"]
    assert oldest(times, 0, 10.0, 7.5) == ["b", "c"]
    assert oldest(times, 3, 10.0, 8.5) == ["b", "c", "a"]
    weak, strong = memory.store("w", 1, importance=0.1), memory.store("s", 1, importance=0.9)
    assert least_relevant([strong, weak], 1, 0.0) == [weak.id]


def test_a_warning_is_given_once_for_each_time_the_threshold_is_crossed(memory: TieredMemory, caplog: Any) -> None:
    warned: list[AgentMemoryStatistics] = []
    mind = mind_of(memory, max_episodes=10, warn_at=0.5, on_warning=warned.append)
    ids = [mind.remember(n) for n in range(6)]
    assert [each.episodes for each in warned] == [5]
    assert "5 episodes, and 10 at most" in caplog.text
    for each in ids[:3]:
        mind.forget(each)
    mind.remember(7)
    mind.remember(8)
    assert mind.stats().warnings == 2


def test_consolidation_makes_memories_that_cite_their_episodes(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    ids = [mind.remember(f"The market sold {n} fish today.", importance=n / 20) for n in range(12)]
    done = mind.consolidate()
    assert done.episodes == 12
    semantic = mind.recent(kinds=["semantic"])
    assert sorted(source for each in semantic for source in each.sources) == sorted(ids)
    assert {each.id for each in semantic} == set(done.semantic)
    assert "fish" in semantic[0].text
    statistics = mind.stats()
    assert (statistics.episodes, statistics.semantic, statistics.unconsolidated) == (12, 2, 0)
    assert (statistics.consolidations, statistics.consolidated) == (1, 12)
    assert not mind.consolidate(force=True)


def test_consolidation_waits_for_enough_unless_it_is_forced(memory: TieredMemory) -> None:
    mind = mind_of(memory, consolidate_at=10)
    for n in range(3):
        mind.remember(f"apple {n}")
    assert not mind.consolidate()
    assert mind.consolidate(force=True).episodes == 3


def test_enough_episodes_are_consolidated_by_themselves(memory: TieredMemory) -> None:
    mind = mind_of(memory, consolidate_at=5)
    for n in range(12):
        mind.remember(f"apple {n}")
    assert mind.wait_for_consolidation()
    statistics = mind.stats()
    assert statistics.automatic_consolidations == statistics.consolidations >= 1
    assert statistics.unconsolidated < 5
    assert statistics.consolidated + statistics.unconsolidated == 12


def test_episodes_stored_during_an_automatic_consolidation_are_consolidated_after_it(memory: TieredMemory) -> None:
    gate = Gate()
    mind = mind_of(memory, consolidate_at=5, summariser=gate)
    for n in range(5):
        mind.remember(f"apple {n}")
    assert gate.entered.wait(20)
    for n in range(6):
        mind.remember(f"pear {n}")
    gate.opened.set()
    assert mind.wait_for_consolidation()
    assert [len(each) for each in gate.batches] == [5, 6]
    assert mind.stats().unconsolidated == 0


def test_three_consolidations_at_once_do_the_work_once(memory: TieredMemory) -> None:
    gate = Gate()
    mind = mind_of(memory, summariser=gate)
    for n in range(20):
        mind.remember(f"apple {n}")
    done: list[int] = []
    threads = Together(*(lambda: done.append(mind.consolidate(force=True).episodes) for _ in range(3)))
    assert gate.entered.wait(10)
    gate.opened.set()
    threads.join()
    assert sorted(done) == [0, 0, 20]
    assert len(gate.batches) == 1
    assert mind.stats().consolidations == 1
    assert mind.stats().semantic == 2


def test_storing_during_a_consolidation_does_not_wait_and_loses_nothing(memory: TieredMemory) -> None:
    gate = Gate()
    mind = mind_of(memory, summariser=gate)
    first = [mind.remember(f"apple {n}") for n in range(5)]
    consolidation = Together(lambda: mind.consolidate(force=True))
    assert gate.entered.wait(10)
    # The summariser is at its work, and this thread is not held up by it.
    second = [mind.remember(f"pear {n}") for n in range(5)]
    assert values(mind.recent(1)) == ["pear 4"]
    assert mind.recall("pear", 3)
    assert (mind.stats().unconsolidated, mind.stats().semantic, mind.stats().consolidated) == (10, 0, 0)
    gate.opened.set()
    consolidation.join()
    assert (mind.stats().unconsolidated, mind.stats().consolidated) == (5, 5)
    mind.consolidate(force=True)
    assert gate.batches == [first, second]


def test_a_summariser_that_raises_costs_no_episode(memory: TieredMemory, caplog: Any) -> None:
    def broken(_: Sequence[Memory]) -> list[Insight]:
        raise RuntimeError("no model today")

    mind = mind_of(memory, summariser=broken)
    mind.remember("apple")
    with pytest.raises(RuntimeError, match="today"):
        mind.consolidate(force=True)
    assert (mind.stats().failed_consolidations, mind.stats().unconsolidated) == (1, 1)
    again = mind_of(memory)
    assert again.consolidate(force=True).episodes == 1
    by_itself = AgentMemory(memory, "bob", consolidate_at=1, summariser=broken)
    by_itself.remember("pear")
    assert by_itself.wait_for_consolidation()
    eventually(lambda: "were not consolidated" in caplog.text)
    assert by_itself.stats().failed_consolidations == 1


def test_an_insight_must_rest_on_episodes_that_were_given(memory: TieredMemory) -> None:
    mind = mind_of(memory, summariser=lambda _: [Insight("x", ("nonsense",))])
    mind.remember("apple")
    with pytest.raises(InvalidMemory, match="source"):
        mind.consolidate(force=True)
    assert mind.stats().unconsolidated == 1
    assert mind.stats().semantic == 0


def test_forgetting_deletes_derived_memories(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    ids = [mind.remember(text) for text in ("The sky is blue.", "My password is xyzzy.", "The grass is green.")]
    mind.consolidate(force=True)
    (semantic,) = mind.recent(kinds=["semantic"])
    assert mind.forget(ids[1]) == [ids[1], semantic.id]
    assert mind.stats().semantic == 0
    for question in ("xyzzy", "password"):
        assert all(each.parts["text"] == 0 for each in mind.recall(question))
        assert memory.search(question) == []
    for gone in (ids[1], semantic.id):
        with pytest.raises(UnknownMemory):
            mind.get(gone)
    assert mind.consolidate(force=True).episodes == 2
    assert "xyzzy" not in mind.recent(kinds=["semantic"])[0].text


def test_the_words_of_a_forgotten_episode_do_not_come_back_with_the_next_one(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    mind.remember("apple")
    pear = mind.remember("pear")
    mind.remember("plum")
    mind.forget(pear)
    mind.remember("cherry")
    assert mind.recall("pear") == []
    assert len(mind.recall("cherry")) == 2, "the one before it has it as context"


def test_an_episode_forgotten_during_a_consolidation_is_in_none_of_its_insights(memory: TieredMemory) -> None:
    gate = Gate()
    mind = mind_of(memory, summariser=gate)
    kept, secret = mind.remember("The sky is blue."), mind.remember("My password is xyzzy.")
    consolidation = Together(lambda: mind.consolidate(force=True))
    assert gate.entered.wait(10)
    mind.forget(secret)
    gate.opened.set()
    consolidation.join()
    assert mind.recent(kinds=["semantic"]) == []
    assert memory.search("xyzzy") == []
    assert mind.consolidate(force=True).episodes == 1
    assert mind.recent(kinds=["semantic"])[0].sources == (kept,)


def test_a_memory_can_be_explained(memory: TieredMemory, clock: ManualClock) -> None:
    mind = mind_of(memory)
    ids = [mind.remember(f"The sky is blue {n}.") for n in range(2)]
    assert not mind.explain(ids[0]).consolidated
    (semantic,) = mind.consolidate(force=True).semantic
    explained = mind.explain(semantic)
    assert [each.id for each in explained.sources] == ids
    assert explained.missing == ()
    episode = mind.explain(ids[0])
    assert episode.consolidated
    assert [each.id for each in episode.derived] == [semantic]
    assert 0 < episode.strength < 1
    clock.advance(5_000)
    memory.maintain()
    assert [each.action for each in mind.explain(ids[0]).decisions] == ["promoted"]
    memory.delete(f"alice/episode/{ids[1]}")
    assert mind.explain(semantic).missing == (ids[1],)


def test_memories_that_are_not_valid_any_more_are_recalled_for_earlier_times_only(
    memory: TieredMemory, clock: ManualClock
) -> None:
    mind = mind_of(memory)
    name = mind.learn("Bob lives in Rome", valid_from=clock.time())
    then = clock.time()
    clock.advance(10)
    mind.invalidate(name)
    mind.learn("Bob lives in Paris")
    assert values(mind.recall("where does Bob live?", 5)) == ["Bob lives in Paris"]
    assert "Bob lives in Rome" in values(mind.recall("where does Bob live?", 5, valid_at=then))
    assert mind.get(name).valid_until == clock.time()


def test_recall_finds_words_neighbours_and_dates_and_prefers_relevance_to_recency(
    memory: TieredMemory, clock: ManualClock
) -> None:
    mind = mind_of(memory)
    lent = mind.remember("Bob lent me five coins", at=989280000.0)
    answer = mind.remember("Yes, I will pay it back", at=989280060.0)
    for n in range(30):
        clock.advance(60)
        mind.remember(f"The weather was fine, number {n}")
    assert mind.recall("who lends coins?", 1)[0].id == lent
    assert mind.recall("coins", 2)[1].id == answer
    assert {each.id for each in mind.recall("what happened on 8 May 2001?", 2)} == {lent, answer}
    newest = mind.recall("fine weather?", 1, weights=Weights(text=0.0, recency=1.0))
    assert values(newest) == ["The weather was fine, number 29"]
    assert mind.recall("coins", 0) == []
    ranked = mind.recall("who lends coins?", 10)
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
    assert all(0 <= each.score <= 1 for each in ranked)


def test_to_be_recalled_is_to_be_used(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    name = mind.remember("apple")
    mind.recall("apple")
    memory.flush()
    assert mind.get(name).access_count == 1
    assert mind.stats().recalled == 1


def test_a_question_that_no_memory_answers_has_no_answer(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    whole = mind.remember("Bob lent me five coins")
    for text in ("It rained.", "Nothing else happened."):
        mind.remember(text)
    part = mind.remember("Bob went home")
    for question in ("unicorns", "", "?!", "什么", "🦓", "\ud800"):
        assert mind.recall(question) == []
    assert [each.text for each in mind.recent(1)] == ["Bob went home"]
    found = mind.recall("did Bob lend coins?")
    assert found[0].id == whole
    assert found[0].score > 0.9
    assert next(each for each in found if each.id == part).score < 0.5
    assert found[0].parts["text"] > 0.9
    assert [each.id for each in mind.recall("did Bob lend coins?", least=0.9)] == [whole]
    assert mind.recall("did Bob lend coins to unicorns in Paris?", least=0.9) == []
    for bad in (-0.1, 1.1, math.nan, "all", None, True):
        with pytest.raises(InvalidMemory, match="least"):
            mind.recall("coins", least=bad)  # type: ignore[arg-type]


def test_recall_and_lists_choose_by_fields_of_values(memory: TieredMemory) -> None:
    mind = mind_of(memory)
    lunch = mind.remember({"speaker": "Ann", "content": "We had lunch", "tags": ["food", "city"], "price": 5})
    dinner = mind.remember({"speaker": "Ann", "content": "We had a long lunch", "tags": ["food"], "price": 50})
    mind.remember({"speaker": "Ben", "content": "Lunch again", "tags": ["food"], "price": 4})
    which = {"speaker": "Ann", "tags": has("food"), "price": at_most(5)}
    assert [each.id for each in mind.recall("lunch", where=which)] == [lunch]
    assert {each.id for each in mind.recall("lunch", where={"speaker": "Ann"})} == {lunch, dinner}
    assert [each.id for each in mind.recent(where={"price": at_least(50)})] == [dinner]
    assert [hit.record.id for hit in memory.search("lunch", where=which)] == [lunch]
    assert mind.recall("lunch", where={"colour": "red"}) == []
    assert mind.recall("lunch", where={"price": "5"}) == []
    for bad in (
        "speaker",
        ["speaker"],
        {1: 2},
        {"": 1},
        {"speaker": [1]},
        {"a": math.nan},
        {"a": object()},
        {"a": "x" * 1_001},
    ):
        with pytest.raises(InvalidMemory, match="where"):
            mind.recall("lunch", where=bad)  # type: ignore[arg-type]
    for wrong in (None, True, [1]):
        with pytest.raises(InvalidMemory):
            at_most(wrong)


def test_one_agent_can_read_only_shared_memories_of_another(memory: TieredMemory) -> None:
    alice, bob = mind_of(memory), mind_of(memory, "bob")
    name = alice.remember("a secret about apples")
    bob.remember("bananas")
    assert bob.recall("secret apples", 10, kinds=()) == []
    for use in (bob.get, bob.explain, bob.forget, bob.invalidate):
        with pytest.raises(UnknownMemory):
            use(name)
    with pytest.raises(UnknownMemory):
        bob.learn("x", sources=[name])
    with pytest.raises(NotShared, match="share_with"):
        bob.of("alice")
    alice.share_with("bob")
    shared = bob.of("alice")
    assert values(shared.recall("apples")) == ["a secret about apples"]
    assert shared.get(name).value == "a secret about apples"
    with pytest.raises(NotShared):
        mind_of(memory, "carol").of("alice")
    with pytest.raises(NotShared):
        alice.of("bob")
    alice.unshare("bob")
    for read in (lambda: shared.recall("apples"), shared.recent, lambda: shared.get(name)):
        with pytest.raises(NotShared):
            read()
    assert alice.shared_with() == []


def test_agents_whose_names_begin_alike_are_strangers(memory: TieredMemory) -> None:
    one, other = mind_of(memory, "a"), mind_of(memory, "a/episode")
    name = one.remember("apple")
    with pytest.raises(UnknownMemory):
        other.get(name)
    assert other.recent() == []
    assert values(other.recall("apple")) == []


def test_two_handles_on_one_agent_are_handles_on_the_same_memories(memory: TieredMemory) -> None:
    one, other = mind_of(memory, max_episodes=3), mind_of(memory, max_episodes=3)
    for n in range(4):
        (one if n % 2 else other).remember(n)
    assert len(one) == len(other) == 3
    assert values(one.recent()) == [3, 2, 1]


def test_all_of_it_is_there_after_a_restart(clock: ManualClock) -> None:
    archive = FlakyArchive()
    with open_memory(clock, archive=archive) as memory:
        mind = mind_of(memory)
        for n in range(10):
            mind.remember(f"apple {n}")
        mind.consolidate(force=True)
        mind.remember("pear")
        mind.share_with("bob")
    with open_memory(clock, archive=archive) as memory:
        mind = mind_of(memory, max_episodes=11)
        statistics = mind.stats()
        assert (statistics.episodes, statistics.semantic, statistics.unconsolidated) == (11, 1, 1)
        assert mind.shared_with() == ["bob"]
        mind.remember("plum")
        assert "apple 0" not in values(mind.recent(50))
        assert memory.record(f"alice/episode/{mind.recent(2)[1].id}").context.endswith("plum")  # type: ignore[union-attr]


def test_twenty_threads_store_two_thousand_memories_while_they_are_consolidated_and_counted() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with checked_locks() as violations, open_memory() as memory:
            mind = AgentMemory(memory, "alice", max_episodes=10_000, consolidate_at=50)
            bad: list[AgentMemoryStatistics] = []
            stop = threading.Event()

            def watch() -> None:
                while not stop.is_set():
                    now = mind.stats()
                    if now.consolidated + now.unconsolidated != now.episodes or now.remembered != now.episodes:
                        bad.append(now)

            watcher = Together(watch)
            run_together(
                *(lambda me=me: [mind.remember(f"apple {me} {n}") for n in range(100)] for me in range(20)),
                *(lambda: mind.consolidate(force=True) for _ in range(3)),
                timeout=50,
            )
            assert mind.wait_for_consolidation(30)
            mind.consolidate(force=True)
            stop.set()
            watcher.join()
            statistics = mind.stats()
            assert (statistics.episodes, statistics.remembered, statistics.consolidated) == (2_000, 2_000, 2_000)
            assert bad == []
            sources = [source for each in mind.recent(10_000, kinds=["semantic"]) for source in each.sources]
            assert len(sources) == len(set(sources)) == 2_000
            assert len(mind.recent(10_000)) == 2_000
        assert violations == []
    finally:
        sys.setswitchinterval(before)


def test_threads_never_get_more_episodes_than_there_may_be(memory: TieredMemory) -> None:
    mind = mind_of(memory, max_episodes=50)
    run_together(*(lambda me=me: [mind.remember([me, n]) for n in range(50)] for me in range(8)))
    assert len(mind) == 50 == len(mind.recent(500))
    assert mind.stats().cleaned == 350
