"""Propositions, interventions, validation, extraction and stories tell what happened, and what failed."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coterie import Runtime
from coterie.errors import CoterieError, HandlerFailed, InvalidSetting
from coterie.errors.personas import InterventionFailed, PropositionFailed
from coterie.models import ModelRequest, RuleModel, TextMessage
from coterie.personas import (
    Intervention,
    Interventions,
    Judgement,
    Persona,
    PersonaAction,
    PlausibleMind,
    Population,
    Proposition,
    Question,
    RuleMind,
    Situation,
    Study,
    answer_from_profile,
    hear,
    heard,
    say,
    social_resolver,
    social_round,
    social_world,
    story,
    talk,
    tell_story,
    when,
)
from coterie.personas.studies.stories import save_record
from coterie.personas.studies.texts import text_of
from coterie.rounds import Graph, Simulation, per_agent
from coterie.tables import DataTable
from coterie.world import EventLog, World


def judge(request: ModelRequest) -> str:
    """Judge by a word, as a model would by meaning."""
    last = request.exchanges[-1]
    assert isinstance(last, TextMessage)
    claim, _, record = last.text.partition("The record:")
    return json.dumps({"reasons": "as said", "score": 9 if "bread" in record or ("fact" in claim and "baker" in record) else 1})


MODEL = RuleModel(judge)


def test_a_proposition_is_checked_by_its_rule_and_judged_by_a_model_where_that_cannot_tell() -> None:
    by_rule = Proposition("long", lambda text: (len(text) / 10, f"{len(text)} letters") if text else None, model=MODEL)
    assert by_rule.check("12345678") == Judgement("long", 0.8, holds=True, reasons="8 letters")
    assert asyncio.run(by_rule.judge("12")).holds is False
    assert by_rule.check("") is None
    assert asyncio.run(by_rule.judge("")) == Judgement("long", 1 / 9, holds=False, reasons="as said", by="model")
    assert asyncio.run(Proposition("x", model=MODEL, threshold=0.9).judge({"ada": ["bread"]})).holds


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Proposition("x"), "a rule, a model, or both"),
        (lambda: Proposition(" ", bool), "a claim, as text"),
        (lambda: Intervention("a/b", when=bool, then=print), "a name without '/'"),
        (lambda: Intervention("a", when=3, then=print), "a Proposition, or a function"),  # type: ignore[arg-type]
        (lambda: Interventions([]), "at least one intervention"),
        (lambda: PlausibleMind(RuleMind()), "at least one function"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make: Any, problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        make()


def test_a_proposition_that_cannot_be_judged_says_why() -> None:
    with pytest.raises(PropositionFailed, match="'x' cannot be judged: its rule raised ZeroDivisionError"):
        Proposition("x", lambda _: 1 / 0).check(None)
    with pytest.raises(PropositionFailed, match="a score from 0 to 1"):
        Proposition("x", lambda _: 7).check(None)
    with pytest.raises(PropositionFailed, match="its rule cannot tell, and there is no model"):
        asyncio.run(Proposition("x", lambda _: None).judge(None))


@per_agent
def fish(turn: Any) -> None:
    turn.intend("add", key="lake", amount=-turn.random.randrange(5, 20))


def lake(world: World, *interventions: Intervention) -> Simulation:
    return Simulation(world, ["ada", "ben"], Graph.chain(fish), seed=2, settle=Interventions(interventions))


def rain(at_most: int | None = None) -> Intervention:
    return Intervention(
        "rain", when=lambda view: view["lake"] < 40, then=lambda closing: closing.set("lake", 100), at_most=at_most
    )


def test_interventions_in_a_simulation_are_recorded_and_made_again_by_resume_and_replay(tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        lake(world, rain(2)).run(6)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        result = lake(world, rain(2)).resume(20)
        assert result.digest == lake(World({"lake": 100}), rain(2)).run(20).digest
        assert lake(World(), rain(2)).replay(world.log).digest == result.digest  # type: ignore[arg-type]
        told = [event for event in world.log.events() if "interventions" in event.details]  # type: ignore[union-attr]
    assert result.view["intervention/rain"] == 2
    assert [event.details["interventions"][0]["number"] for event in told] == [1, 2]
    assert "*Intervention rain: its condition holds*" in story("The lake", told)


def test_an_intervention_that_raises_names_itself_and_the_round() -> None:
    broken = Intervention("flood", when=lambda view: view["lake"] < 100, then=lambda closing: 1 / 0)
    with pytest.raises(CoterieError, match=r"the intervention 'flood' failed for round 1: ZeroDivisionError"):
        lake(World({"lake": 100}), broken).run(3)


def test_interventions_in_a_population_reach_the_personas_whose_condition_holds() -> None:
    with Runtime() as runtime:
        population = Population(runtime)
        ada, ben = population.add(Persona.of("Ada")), population.add(Persona.of("Ben"))
        ada.change_mind(emotions="sad").result()
        study = Study(population)
        sad = Proposition("is sad", lambda ref: "sad" in ref.mental_state.emotions)
        calm = Intervention("calm", when=sad, then=lambda ref: [ref.think("It will pass."), ref.listen("Hello")], at_most=2)
        for _ in range(3):
            study.intervene(calm).result()
        assert [(each.target, each.number) for each in study.records] == [("Ada", 1), ("Ada", 2)]
        assert (ada.counts.stimuli, ben.counts.stimuli) == (4, 0)
        whole = Intervention(
            "all", when=lambda people: len(people) == 2, then=lambda people: people["Ben"].think("Both are here.")
        )
        assert study.intervene(whole, each=False).result()[0].target == ""
        with pytest.raises(HandlerFailed) as failed:
            study.intervene(Intervention("bad", when=lambda ref: True, then=lambda ref: ref.nothing())).result()
        assert isinstance(failed.value.__cause__, InterventionFailed)


def test_a_persona_is_validated_against_its_own_file() -> None:
    persona = Persona.of("Ada", age=41, occupation={"title": "baker"}, beliefs=["Bread should be cheap for everybody."])
    honest = RuleMind(
        when(heard("old"), say("I am 41.")), when(heard("name"), say("Ada.")), when(heard("living"), say("I am a baker.")),
        answer_from_profile,
    )  # fmt: skip
    liar = RuleMind(when(heard("old"), say("I am 30.")), say("I cannot say."))
    with Runtime() as runtime:
        population = Population(runtime)
        ada, eva = population.add(persona, honest), population.add(persona, liar, name="Eva")
        study = Study(population)
        good, bad = study.validate(ada).result(), study.validate(eva).result()
        judged = study.validate(ada, model=MODEL, most=3).result()
    assert good.score > 0.9
    assert len(good.answers) == 4
    assert bad.score == 0.0
    assert {each.fact.split(":")[0] for each in bad.below()} == {"name", "age", "occupation", "beliefs"}
    assert {each.by for each in judged.answers} == {"model"}


def too_long(situation: Situation, action: PersonaAction) -> str | None:
    return "nobody talks that long" if len(action.content) > 20 else None


class Wordy:
    """Speaks too long until it is told otherwise."""

    def __init__(self, learns: bool = True) -> None:
        self.learns = learns

    async def decide(self, situation: Situation) -> Any:
        told = any("not be plausible" in each.content for each in situation.stimuli)
        return [talk("Short." if told and self.learns else "a very long sentence that does not end")]


def test_an_implausible_action_is_decided_again_and_at_last_left_out() -> None:
    with Runtime() as runtime:
        population = Population(runtime)
        learns = population.add(Persona.of("Ada"), PlausibleMind(Wordy(), too_long), max_steps=1).act().result()
        stays = population.add(Persona.of("Ben"), PlausibleMind(Wordy(learns=False), too_long, retries=1), max_steps=1)
        dropped = stays.act().result()
        kept = (
            population.add(Persona.of("Cleo"), PlausibleMind(Wordy(learns=False), too_long, otherwise="keep"), max_steps=1)
            .act()
            .result()
        )
    assert (learns.said, learns.attempts, learns.fallbacks) == (("Short.",), 2, ())
    assert dropped.said == ()
    assert "not plausible, left out: TALK: a very long" in dropped.fallbacks[0]
    assert kept.said == ("a very long sentence that does not end",)
    assert stays.counts.fallbacks == 1


@dataclass
class Complaint:
    about: str
    grave: bool


def test_rows_are_extracted_by_type_from_any_record() -> None:
    def extract(request: ModelRequest) -> str:
        rows = [{"about": "price", "grave": True}, {"about": "taste", "grave": False}]
        return json.dumps({"value": rows} if request.step == "rows of all" else rows[0])

    with Runtime() as runtime:
        study = Study(Population(runtime), model=RuleModel(extract))
        one = study.extract(Complaint, {"Ada": "The bread is too expensive!"}).result()
        many = study.extract(Complaint, {"all": ["one", "two"]}, several=True).result()
        with pytest.raises(InvalidSetting, match="a study with a model"):
            Study(study.population).extract(Complaint, {})
    assert one.to_list() == [{"source": "Ada", "about": "price", "grave": True}]
    assert many["about"] == ("price", "taste")


def test_stories_tell_dialogues_surveys_and_rounds_in_markdown(tmp_path: Path) -> None:
    with Runtime() as runtime:
        population = Population(runtime, mind=lambda persona: RuleMind(when(heard(r"pay"), say("Four.")), say("Bread?")))
        agents = {name: population.add(Persona.of(name)).agent for name in ("Ada", "Ben")}
        question = Question("price", "What would you pay?", "integer")
        survey = population.survey([question]).result()
        group = population.focus_group("Bread", [question]).result()
        world = World(social_world(agents))
        Simulation(world, agents, social_round(), resolver=social_resolver(), settle=hear).run(1)
    told = story("A study", group, {"Survey": survey}, list(world.history()))
    assert "## Bread\n\n**Interviewer:** What would you pay?" in told
    assert "| Ada | 4 | 1 | rules |" in told
    assert "## Round 1\n\n**Ada:** Bread?" in told
    assert save_record(group, tmp_path / "group.md").read_text().startswith("# group")
    assert json.loads(save_record(survey, tmp_path / "survey.json").read_text())["answers"][0]["text"] == "Four."
    assert DataTable.read(save_record(survey, tmp_path / "survey.parquet"))["price"] == (4, 4)
    with pytest.raises(InvalidSetting, match=r"\.md or \.json"):
        save_record(group, tmp_path / "group.docx")
    model = RuleModel(lambda request: "Once there was bread.")
    assert asyncio.run(tell_story(model, "Bread", group)) == "# Bread\n\nOnce there was bread.\n"


def test_a_long_record_loses_its_middle_and_says_so() -> None:
    assert text_of("x" * 100, 10) == "xxxxx\n[... 90 characters left out ...]\nxxxxx"
