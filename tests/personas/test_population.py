"""Several personas: conversations, focus groups, meetings and rounds."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie import AgentStopped, Dedicated, Leased, Runtime
from coterie.errors import InvalidPersona, InvalidSetting
from coterie.errors.personas import PersonaUnknown
from coterie.memory import MemoryConfig, TieredMemory
from coterie.personas import (
    FocusGroup,
    Persona,
    PersonaRef,
    Population,
    Question,
    RuleMind,
    Situation,
    act,
    answer_from_profile,
    hear,
    heard,
    one_of,
    say,
    social_resolver,
    social_round,
    social_world,
    talk,
    when,
)
from coterie.rounds import Mode, Result, Simulation
from coterie.world import EventLog, World
from tests.personas.minds import DONE, Does
from tests.personas.samples import USUAL, VARIANT, write

ADA, BEN, CY = (Persona.of(name) for name in ("Ada", "Ben", "Cy"))


@pytest.fixture(params=[Leased, Dedicated], ids=["leased", "dedicated"])
def cast(request: pytest.FixtureRequest) -> Iterator[Population]:
    with Runtime(dispatcher=request.param()) as runtime:
        yield Population(runtime, timeout=30)


def test_several_personas_converse_in_turn_until_all_are_silent(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(when(heard("breakfast"), say("I skip it.")), when(heard("why"), say("No time."))))
    ben = cast.add(BEN, RuleMind(when(heard("skip"), say("Why?"))))
    cy = cast.add(CY)
    for each in (ben, cy):
        cast.relate(ada, each)
    transcript = cast.converse(ada, ben, cy, opening="What about breakfast?").result()
    assert str(transcript) == ": What about breakfast?\nAda: I skip it.\nBen: Why?\nAda: No time."
    assert transcript.ended == "nobody had anything more to say"
    assert cy.fetch_state().result().counts.stimuli == 4
    assert ada.fetch_state().result().counts.stimuli == 2


def test_a_conversation_has_a_bound_on_its_turns(cast: Population) -> None:
    members = [cast.add(each, RuleMind(when(heard(), say("and then?")))) for each in (ADA, BEN)]
    transcript = cast.converse(*members, opening="so", turns=5).result()
    assert len(transcript.lines) == 6
    assert transcript.ended == "its turns were over"


def test_speech_to_one_persona_is_heard_by_that_persona_alone(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(when(heard("tell"), say("psst", "Ben"))))
    ben, cy = cast.add(BEN), cast.add(CY)
    cast.relate_all()
    transcript = cast.converse(ada, ben, cy, opening="tell").result()
    assert transcript.lines[1].target == "Ben"
    assert (ben.counts.stimuli, cy.counts.stimuli) == (2, 1)


def test_a_participant_that_fails_or_leaves_is_skipped(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(when(heard(), say("hm"))))
    ben = cast.add(BEN, Does(lambda _: 1 / 0))
    cy = cast.add(CY)
    cy.stop().result()
    transcript = cast.converse(ada, ben, cy, opening="hello", turns=6).result()
    left = {line.speaker: line.details["left"] for line in transcript.lines if "left" in line.details}
    assert "ZeroDivisionError" in left["Ben"]
    assert AgentStopped.__name__ in left["Cy"]
    assert transcript.ended == "nobody had anything more to say"


def test_a_conversation_can_be_awaited(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(when(heard(), say("hm"))))

    async def talk_with_her() -> str:
        await ada.listen("hello")
        return (await ada.act()).text

    assert asyncio.run(talk_with_her()) == "hm"


def test_no_participants_and_unknown_participants_are_refused(cast: Population) -> None:
    with pytest.raises(InvalidSetting):
        cast.converse()
    with pytest.raises(PersonaUnknown, match="there is no persona 'Zed'"):
        cast.converse("Zed")
    ada = cast.add(ADA)
    for questions in ([], [Question("a", "?"), Question("a", "?")]):
        with pytest.raises(InvalidSetting, match="questions"):
            cast.focus_group("x", questions, [ada])


# Focus groups.

QUESTIONS = [Question("bread", "Do you like bread?"), Question("price", "How much?", "integer", least=1, most=9)]


def test_a_focus_group_asks_each_in_turn_and_all_hear_one_another(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(when(heard("bread"), say("Rye.")), when(heard("how much"), say("3."))))
    ben = cast.add(BEN, RuleMind(when(heard("rye"), say("As she says.")), when(heard("how much"), say("Four."))))
    group = cast.focus_group("Bread", QUESTIONS).result(30)
    assert [(each.persona, each.question, each.text) for each in group.answers] == [
        ("Ada", "bread", "Rye."),
        ("Ben", "bread", "As she says."),
        ("Ada", "price", "3."),
        ("Ben", "price", "Four."),
    ]
    assert [line.speaker for line in group.transcript.lines] == ["Interviewer", "Ada", "Ben"] * 2
    assert (group.ended, group.missed) == ("all questions were asked", ())
    assert ben.counts.episodes == ada.counts.episodes == 2


def test_a_silent_persona_has_no_answer_and_delays_no_other(cast: Population) -> None:
    class Hangs:
        async def decide(self, _: Situation) -> None:
            await asyncio.Event().wait()

    cast.add(ADA, RuleMind(say("Rye.")))
    cast.add(BEN)
    cast.add(CY, Hangs(), patience=1000)
    cast.add(Persona.of("Dag"), Does(lambda _: 1 / 0))
    group = cast.focus_group("Bread", QUESTIONS[:1], turn_limit=0.3).result(30)
    assert [each.text for each in group.answers] == ["Rye.", "", "", ""]
    assert group.ended == "all questions were asked"
    assert any("Cy" in each for each in group.missed)


def test_a_profile_answers_by_itself_and_the_same_each_time() -> None:
    def hold() -> FocusGroup:
        with Runtime() as runtime:
            cast = Population(runtime, mind=lambda _: RuleMind(answer_from_profile))
            cast.add(Persona(USUAL)), cast.add(Persona(VARIANT))
            return cast.focus_group("Bread", QUESTIONS).result(30)

    group = hold()
    assert hold() == group
    assert group.answers[0].text == "Bread should be cheap."
    assert all(Question("n", "?", "integer", least=1, most=9).read(each.text) for each in group.answers[2:])


def test_a_folder_of_personas_is_loaded_whole_or_not_at_all(cast: Population, tmp_path: Path) -> None:
    with pytest.raises(InvalidPersona, match=r"no \*\.agent\.json"):
        cast.load(tmp_path)
    write(tmp_path, "b.agent.json", VARIANT)
    write(tmp_path, "a.agent.json", USUAL)
    write(tmp_path, "c.txt", {})
    bad = write(tmp_path, "z.agent.json", {"persona": {}})
    with pytest.raises(InvalidPersona, match=r"z\.agent\.json: persona\.name"):
        cast.load(tmp_path)
    assert len(cast) == 0
    bad.unlink()
    assert [each.name for each in cast.load(tmp_path)] == ["Nora Lindqvist", "Ivo Petrov"]
    assert "Ivo Petrov" in cast
    assert cast["Ivo Petrov"].persona.age == 29.5


# Rounds.

WORDS = ("rain", "bread", "boats")


class Chatty:
    """Talks by chance, about what it heard, and keeps a count, which is its state."""

    def __init__(self) -> None:
        self.count = 0

    async def decide(self, situation: Situation) -> Any:
        self.count += 1
        last = situation.heard()[-1].content if situation.heard() else "nothing"
        target = situation.random.choice([*situation.accessible, ""])
        said = f"{situation.random.choice(WORDS)} {self.count}, not {last[:20]}; {len(situation.recent)}"
        return [talk(said, target), DONE]

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


def simulate(
    rounds: int, mode: Mode = Mode.SYNC_POINTS, path: Path | None = None, *, resume: bool = False, memory: Any = None
) -> Result:
    """Run three chatty personas, on a runtime of their own."""
    with Runtime(dispatcher=Dedicated() if mode is Mode.LOCKSTEP else Leased()) as runtime:
        cast = Population(runtime, memory=memory)
        personas: dict[str, PersonaRef] = {each.name: cast.add(each, Chatty()) for each in (ADA, BEN, CY)}
        with World(social_world(personas), log=EventLog(path) if path is not None else None) as world:
            agents = {name: each.agent for name, each in personas.items()}
            simulation = Simulation(
                world, agents, social_round(), mode=mode, seed=5, resolver=social_resolver(), settle=hear, turn_timeout=20
            )
            return (simulation.resume if resume else simulation.run)(rounds)


def test_speech_of_a_round_is_heard_in_the_next_whatever_the_timing() -> None:
    results = [simulate(6, mode) for mode in (Mode.SYNC_POINTS, Mode.LOCKSTEP, Mode.PIPELINES)]
    assert len({result.digest for result in results}) == 1
    assert results[0].forfeits == 0
    lines = [line["content"] for name in ("Ada", "Ben", "Cy") for line in results[0].view[f"heard/{name}"]]
    assert lines
    assert all(" 6, not" in line for line in lines)


def test_a_simulation_of_personas_is_resumed_to_the_same_digest(tmp_path: Path) -> None:
    whole = simulate(8, path=tmp_path / "whole.db")
    simulate(3, path=tmp_path / "part.db")
    resumed = simulate(8, path=tmp_path / "part.db", resume=True)
    assert resumed.digests == whole.digests


def test_memories_of_after_a_checkpoint_are_forgotten_when_it_is_taken_up(tmp_path: Path) -> None:
    def remembering(name: str) -> TieredMemory:
        return TieredMemory(MemoryConfig(path=str(tmp_path / name)))

    with remembering("whole-memory.db") as memory:
        whole = simulate(8, path=tmp_path / "whole.db", memory=memory)
    with remembering("memory.db") as memory:
        simulate(3, path=tmp_path / "part.db", memory=memory)
    with remembering("memory.db") as memory:
        # As if it had been killed in the middle of the fourth round.
        with Runtime() as runtime:
            cast = Population(runtime, memory=memory)
            ada = cast.add(ADA)
            for number in range(3):
                ada.listen(f"words that no checkpoint knows of {number}").result()
        resumed = simulate(8, path=tmp_path / "part.db", resume=True, memory=memory)
    assert resumed.digests == whole.digests


def test_reaching_out_goes_through_the_world() -> None:
    with Runtime() as runtime:
        cast = Population(runtime)
        ada = cast.add(
            ADA,
            RuleMind(
                when(lambda situation: "Ben" not in situation.accessible, act("REACH_OUT", "a stranger", "Ben")),
                one_of(say("hi")),
            ),
        )
        ben = cast.add(BEN)
        world = World(social_world(["Ada", "Ben"], cast.relations))
        agents = {"Ada": ada.agent, "Ben": ben.agent}
        result = Simulation(world, agents, social_round(), resolver=social_resolver(), settle=hear).run(2)
    assert result.view["accessible/Ben"]["Ada"] == "a stranger"
    assert [line["content"] for line in result.view["heard/Ben"]] == ["hi"]
