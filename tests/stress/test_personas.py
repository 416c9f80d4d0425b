"""Personas under a storm: exact counts, whole mental states, equal relations, one consolidation, and no deadlock."""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from coterie import Dedicated, Leased, Runtime
from coterie.memory import MemoryConfig, TieredMemory
from coterie.personas import (
    MentalState,
    Persona,
    PersonaAction,
    PersonaRef,
    PersonaState,
    Population,
    RuleMind,
    Situation,
    act,
    done,
    heard,
    say,
    when,
)
from coterie.personas.agent.directory import RelationsView
from coterie.runtime import Dispatcher
from coterie.testing import Together, checked_locks, run_together
from tests.personas.minds import Does
from tests.runs import LONG

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600 if LONG else 60)]
TIMES = 20 if LONG else 1


@pytest.fixture(autouse=True)
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=[Leased, Dedicated], ids=["leased", "dedicated"])
def cast(request: pytest.FixtureRequest) -> Iterator[Population]:
    """A cast whose locks are all watched: none may be taken out of order."""
    with checked_locks() as violations:
        with Runtime(dispatcher=request.param(), switch_interval=1e-6) as runtime:
            yield Population(runtime, timeout=60)
        assert violations == []


def settled(persona: PersonaRef) -> PersonaState:
    return persona.fetch_state().result(30)


def test_counts_are_exact_for_any_sender(cast: Population) -> None:
    ada = cast.add(Persona.of("Ada"), Does(lambda situation: [PersonaAction("THINK", situation.label), done()]), buffer_size=10)
    senders, each = 8, 200 * TIMES

    def send() -> None:
        for number in range(each):
            ada.listen(f"{number}")
            ada.act().result(30)

    run_together(*[send] * senders, timeout=300)
    counts = settled(ada).counts
    assert (counts.stimuli, counts.episodes, counts.decisions) == (senders * each,) * 3
    assert (counts.actions, counts.refused, counts.failed, counts.fallbacks) == (2 * senders * each, 0, 0, 0)
    assert [record.number for record in ada.actions] == list(range(counts.actions - 9, counts.actions + 1))


def test_no_reader_ever_sees_half_a_change(cast: Population) -> None:
    def whole(number: int) -> MentalState:
        text = str(number)
        return MentalState((text, text), (text,), text, text)

    def decide(situation: Situation) -> Any:
        return [PersonaAction("THINK", "", mental_state=whole(situation.random.randrange(10**6))), done()]

    ada = cast.add(Persona.of("Ada"), Does(decide), mental_state=whole(0))
    seen: Counter[str] = Counter()
    stop: list[bool] = []

    def change(number: int) -> None:
        for step in range(200 * TIMES):
            text = str(1000 * number + step)
            ada.change_mind(goals=[text, text], context=[text], attention=text, emotions=text)
            ada.listen("x")
            ada.act()
        settled(ada)

    def read() -> None:
        last = (0, 0, 0)
        while not stop:
            state = ada.state
            mental = state.mental_state
            assert {*mental.goals, *mental.context, mental.attention, mental.emotions} == {mental.attention}
            counts = (state.counts.stimuli, state.counts.changes, state.counts.actions)
            assert all(now >= before for now, before in zip(counts, last, strict=True))
            assert len(state.actions) == min(100, state.counts.actions)
            last = counts
            seen[mental.attention] += 1

    readers = Together(read, read)
    try:
        run_together(*[lambda number=number: change(number) for number in range(1, 5)], timeout=300)
    finally:
        stop.append(True)
    readers.join(30)
    assert len(seen) > 3
    assert settled(ada).counts.stimuli == 800 * TIMES


def test_both_sides_of_every_relation_are_equal_in_a_storm_and_after_it(cast: Population) -> None:
    names = [f"p{number}" for number in range(6)]
    personas = [cast.add(Persona.of(name), RuleMind(when(heard(), act("REACH_OUT", "by itself", names[0])))) for name in names]
    stop: list[bool] = []

    def agree(view: RelationsView) -> None:
        for name in view:
            for other, relation in view[name].items():
                assert view[other][name] is relation

    def change(number: int) -> None:
        chance = random.Random(number)
        for step in range(300 * TIMES):
            one, other = chance.sample(personas, 2)
            if chance.random() < 0.7:
                cast.relate(one, other, f"{number}/{step}", back=f"back {number}/{step}")
            else:
                cast.separate(one, other)
            if step % 10 == 0:
                chance.choice(personas[1:]).listen("go")
                chance.choice(personas[1:]).act()

    def read() -> None:
        while not stop:
            agree(cast.relations.view())

    readers = Together(read, read)
    try:
        run_together(*[lambda number=number: change(number) for number in range(6)], timeout=300)
        for each in personas:
            settled(each)
    finally:
        stop.append(True)
    readers.join(30)
    view = cast.relations.view()
    agree(view)
    for one in names:
        for other, description in view.accessible(one).items():
            relation = cast.relations.between(other, one)
            assert relation is not None
            assert relation.seen_by(one) == description
            # What one thread wrote for both sides stands together.
            assert relation.seen_by(other).removeprefix("back ") == description.removeprefix("back ")


def test_personas_that_talk_at_once_lose_no_word_and_do_not_lock_up(cast: Population) -> None:
    def greet(situation: Situation) -> Any:
        begun = [each for each in situation.stimuli if each.content == "go"]
        return [*[PersonaAction("TALK", "hello") for _ in begun], done()]

    personas = [cast.add(Persona.of(f"p{number}"), Does(greet)) for number in range(6)]
    cast.relate_all()
    rounds = 40 * TIMES

    def go(persona: PersonaRef) -> None:
        for _ in range(rounds):
            persona.listen_and_act("go").result(30)

    run_together(*[lambda persona=persona: go(persona) for persona in personas], timeout=300)
    for each in personas:
        counts = settled(each).counts
        assert counts.stimuli == rounds + rounds * (len(personas) - 1)
        assert (counts.refused, counts.failed) == (0, 0)


def test_conversations_of_several_at_once_end(cast: Population) -> None:
    personas = [cast.add(Persona.of(f"p{number}"), RuleMind(when(heard(), say("go on")))) for number in range(5)]
    cast.relate_all()

    def talk(number: int) -> None:
        chance = random.Random(number)
        for _ in range(3 * TIMES):
            members = chance.sample(personas, 3)
            transcript = cast.converse(*members, opening="hello", turns=7).result(60)
            assert len(transcript.lines) == 8
            assert transcript.ended == "its turns were over"

    run_together(*[lambda number=number: talk(number) for number in range(4)], timeout=300)


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_memories_are_all_kept_and_consolidated_once(dispatcher: Dispatcher) -> None:
    with checked_locks() as violations:
        with TieredMemory(MemoryConfig()) as memory, Runtime(dispatcher=dispatcher, switch_interval=1e-6) as runtime:
            cast = Population(runtime, memory=memory, timeout=60)
            ada = cast.add(Persona.of("Ada"), memory={"max_episodes": 100_000, "consolidate_at": 50})
            handle = ada.memory
            assert handle is not None
            senders, each = 4, 150 * TIMES

            def store() -> None:
                for number in range(each):
                    ada.listen(f"thing {number}")
                    handle.remember({"content": f"seen from outside {number}", "type": "observation"})

            def consolidate() -> None:
                for _ in range(5):
                    ada.consolidate().result(30)
                    handle.consolidate(force=True)

            run_together(*[store] * senders, *[consolidate] * 3, timeout=300)
            settled(ada)
            ada.consolidate().result(30)
            assert handle.wait_for_consolidation(30)
            statistics = handle.stats()
            assert statistics.remembered == statistics.episodes == 2 * senders * each
            # Each episode was given to one consolidation, whoever asked for how many.
            assert statistics.consolidated == 2 * senders * each
            assert statistics.unconsolidated == 0
            assert ada.consolidate().result(30) == 0
        assert violations == []
