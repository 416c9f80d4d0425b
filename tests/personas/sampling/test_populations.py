"""A sample meets its specification exactly; a survey of it counts as its population does."""

import asyncio
import json
import statistics
import threading
from pathlib import Path
from typing import Any

import pytest

from coterie import Runtime
from coterie.errors import BudgetExhausted, HandlerFailed, InvalidPopulation, InvalidSetting, WordingFailed
from coterie.models import ModelRequest, RuleModel, TextMessage
from coterie.personas import (
    JointQuota,
    ModelMind,
    NumberDistribution,
    Persona,
    Population,
    PopulationSpecification,
    Question,
    RuleMind,
    Situation,
    answer_from_profile,
    load_personas,
    sample_population,
    talk,
    weights_of,
    word_personas,
)

SPECIFICATION = """
size = 200
seed = 7
name = "{occupation} {number}"

[quotas.age]
"18-34" = 0.3
"35-64" = 0.5
"65-90" = 0.2

[quotas.gender]
female = 103
male = 97

[[joint]]
of = ["gender", "occupation"]
cells = [["female", "nurse", 62], ["female", "teacher", 41], ["male", "nurse", 17], ["male", "teacher", 80]]

[[joint]]
of = ["occupation", "sector"]
cells = [["nurse", "public", 70], ["nurse", "private", 9], ["teacher", "public", 100], ["teacher", "private", 21]]

[numbers.openness]
mean = 50
deviation = 15
least = 0
most = 100
whole = true

[fields]
openness = "personality.big_five.openness"
occupation = "occupation.title"

[constants]
nationality = "Norwegian"
"""


def specification(path: Path, text: str = SPECIFICATION) -> PopulationSpecification:
    file = path / "people.toml"
    file.write_text(text)
    return PopulationSpecification.load(file)


def small(size: int = 4) -> PopulationSpecification:
    return PopulationSpecification(size, {"job": {"baker": 0.5, "nurse": 0.5}, "age": {"30-39": 1.0}})


def test_every_quota_is_met_exactly_and_numbers_fit_their_distribution(tmp_path: Path) -> None:
    wanted = specification(tmp_path)
    sampled = sample_population(wanted)
    assert sampled.counts("age") == {"18-34": 60, "35-64": 100, "65-90": 40}
    assert sampled.counts("gender") == {"female": 103, "male": 97}
    for joint in wanted.joint:
        pairs = [tuple(facts[attribute] for attribute in joint.of) for facts in sampled.facts]
        assert {cell: pairs.count(cell) for cell in joint.cells} == joint.cells  # type: ignore[arg-type]
    openness = [facts["openness"] for facts in sampled.facts]
    assert statistics.fmean(openness) == pytest.approx(50, abs=0.5)
    assert statistics.stdev(openness) == pytest.approx(15, abs=0.5)
    first = sampled.personas[0]
    assert first.name == f"{sampled.facts[0]['occupation']} 1"
    assert first.get("personality.big_five.openness") == openness[0]
    assert first.get("nationality") == "Norwegian"
    assert sampled.table().rows == 200


def test_the_same_seed_gives_the_same_personas_in_files(tmp_path: Path) -> None:
    wanted = specification(tmp_path)
    assert sample_population(wanted, 1).facts == sample_population(wanted, 1).facts
    assert sample_population(wanted, 1).facts != sample_population(wanted, 2).facts
    sampled = sample_population(small())
    sampled.save(tmp_path / "people")
    assert load_personas(tmp_path / "people") == list(sampled)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('"65-90" = 0.2', '"65-90" = 0.3', r"people\.toml: quotas\.age: the quotas add up to 1\.1"),
        ('"teacher", 80', '"teacher", 81', r"joint\.gender\*occupation: the quotas add up to 201"),
        ("male = 97", "male = 96", r"quotas\.gender: the quotas add up to 199"),
        (
            '"nurse", 62], ["female", "teacher", 41',
            '"nurse", 61], ["female", "teacher", 42',
            "occupation 'nurse' adds up to 0.3",
        ),
        ("deviation = 15", "deviation = 0", "a `deviation` above 0"),
        ("size = 200", "size = 0", "size: 0 is not possible"),
        ("openness = ", "opennes = ", r"fields\.opennes: there is no such attribute"),
        ("{number}", "{numbr}", "name: "),
        ('cells = [["female"', 'cells = [["x", "female"', "needs 2 labels and a share"),
        ("[quotas.gender]", "[quotes.gender]", "unknown field `quotes`"),
        ("[quotas.gender]", "[quotas.gender", "it cannot be read"),
    ],
)
def test_a_wrong_specification_is_one_error_with_its_place(before: str, after: str, problem: str, tmp_path: Path) -> None:
    assert before in SPECIFICATION
    with pytest.raises(InvalidPopulation, match=problem):
        specification(tmp_path, SPECIFICATION.replace(before, after, 1))


def test_weights_give_respondents_the_shares_of_their_population() -> None:
    wanted = PopulationSpecification(100, {"g": {"f": 0.5, "m": 0.5}, "r": {"n": 0.2, "s": 0.8}})
    people = [Persona.of(f"p{n}", g="f" if n < 60 else "m", r="n" if n % 2 else "s") for n in range(80)]
    weights = weights_of(wanted, people)
    assert sum(weights) == pytest.approx(80)
    for field, label, share in (("g", "f", 0.5), ("r", "n", 0.2)):
        part = sum(w for w, p in zip(weights, people, strict=True) if p.get(field) == label)
        assert part / 80 == pytest.approx(share)
    with pytest.raises(InvalidPopulation, match="no respondent is m"):
        weights_of(wanted, people[:60])
    with pytest.raises(InvalidPopulation, match="which no quota has"):
        weights_of(wanted, [Persona.of("x", g="other", r="n")])


QUESTIONS = [
    Question("price", "What would you pay for bread?", "integer", least=1, most=10),
    Question("drink", "What do you drink with it?", "choice", ("coffee", "tea")),
]


def test_a_survey_asks_all_and_weighs_their_answers() -> None:
    wanted = small(40)
    with Runtime() as runtime:
        population = Population(runtime, mind=lambda persona: RuleMind(by_job))
        refs = population.add_all(sample_population(wanted))
        bakers = [ref for ref in refs if ref.persona.get("job") == "baker"]
        nurses = [ref for ref in refs if ref.persona.get("job") == "nurse"]
        table = population.survey(QUESTIONS, [*bakers[:5], *nurses[:15]], weights=wanted).result().table
    assert table.counts("drink") == {"tea": 15, "coffee": 5}
    assert table.shares("drink") == pytest.approx({"coffee": 0.5, "tea": 0.5})
    assert table.mean("price") == pytest.approx(5.5)
    assert table.frame().columns == ["persona", "price", "drink", "weight", "extracted_by"]


def by_job(situation: Situation) -> Any:
    baker = situation.persona.get("job") == "baker"
    asked = situation.heard()[-1].content
    return talk(("3" if baker else "8") if "pay" in asked else "coffee" if baker else "tea")


def test_a_survey_by_a_model_asks_all_personas_at_the_same_time() -> None:
    asked: set[str] = set()
    all_asked = threading.Event()

    async def answer(request: ModelRequest) -> str:
        # No reply comes before all fifty have asked.
        asked.add(request.agent)
        if len(asked) == 50:
            all_asked.set()
        while not all_asked.is_set():
            await asyncio.sleep(0.01)
        return json.dumps({"actions": [{"type": "TALK", "content": "I pay 4."}, {"type": "DONE"}]})

    mind = ModelMind(RuleModel(answer))
    with Runtime() as runtime:
        population = Population(runtime, mind=lambda persona: mind)
        population.add_all(sample_population(small(50)))
        survey = population.survey(QUESTIONS[:1]).result(50)
    assert set(survey.table.column("price").values()) == {4}


def test_a_persona_that_fails_is_named_and_the_others_are_asked() -> None:
    class Broken:
        async def decide(self, situation: Situation) -> Any:
            raise ValueError("no opinion")

    with Runtime() as runtime:
        population = Population(runtime)
        population.add(Persona.of("Ada"), Broken())
        population.add(Persona.of("Ben"), RuleMind(answer_from_profile))
        survey = population.survey(QUESTIONS[:1]).result()
        assert [row.values["price"] is None for row in survey.table.rows] == [True, False]
        assert len(survey.missed) == 1
        assert "Ada, price: " in survey.missed[0]
        with pytest.raises(InvalidSetting, match="at least one question"):
            population.survey([])
        with pytest.raises(InvalidSetting, match="at least one persona"):
            population.survey(QUESTIONS, [])


def facts_of(request: ModelRequest) -> dict[str, Any]:
    first = request.exchanges[0]
    assert isinstance(first, TextMessage)
    return dict(json.loads(first.text.removeprefix("The facts: ")))


def test_a_model_words_a_sample_within_the_facts_and_without_duplicates(tmp_path: Path) -> None:
    complaints: list[str] = []
    names = iter(f"Kari {letter}" for letter in "aabcdefgh")

    def write(request: ModelRequest) -> str:
        facts = facts_of(request)
        wrong = request.step == "persona 2"
        if len(request.exchanges) > 1:
            last = request.exchanges[-1]
            assert isinstance(last, TextMessage)
            complaints.append(last.text)
        told = "A 99-year-old." if wrong else f"{facts['job']} number {request.step}, a person of {facts['age']} years."
        return json.dumps({"name": next(names), "biography": told, "beliefs": ["Bread matters."], "facts": facts})

    sampled = sample_population(small(3))
    worded = asyncio.run(word_personas(RuleModel(write), sampled, tmp_path))
    assert len({persona.name for persona in worded}) == 3
    assert [persona.get("job") for persona in worded] == [facts["job"] for facts in sampled.facts]
    assert all(persona.get("beliefs") == ["Bread matters."] for persona in worded)
    assert any("the age is" in each for each in complaints) or any("is called" in each for each in complaints)
    assert load_personas(tmp_path) == worded


def test_wording_that_spent_its_budget_goes_on_where_it_was(tmp_path: Path) -> None:
    asked: list[str] = []
    most = 3

    def write(request: ModelRequest) -> str:
        if len(asked) >= most:
            raise BudgetExhausted("requests", "", most, most)
        asked.append(request.step)
        return json.dumps({"name": f"Person of {request.step}", "biography": f"{request.step} bakes."})

    sampled = sample_population(small(5))
    with Runtime() as runtime:
        population = Population(runtime)
        with pytest.raises(HandlerFailed) as failed:
            population.write(sampled, RuleModel(write), tmp_path, batch=2).result()
        assert isinstance(failed.value.__cause__, BudgetExhausted)
        assert len(list(tmp_path.iterdir())) == 3
        most = 100
        worded = population.write(sampled, RuleModel(write), tmp_path).result()
    assert len(worded) == 5
    assert sorted(asked) == [f"persona {number}" for number in range(1, 6)]


def test_personas_that_a_model_cannot_word_are_named_and_the_others_kept(tmp_path: Path) -> None:
    def write(request: ModelRequest) -> str:
        return "no JSON" if request.step.startswith("persona 2") else json.dumps({"name": request.step})

    sampled = sample_population(small(3))
    with pytest.raises(WordingFailed, match="1 personas are not worded, the first is number 2"):
        asyncio.run(word_personas(RuleModel(write), sampled, tmp_path, attempts=2))
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(InvalidPopulation, match="choose another folder"):
        asyncio.run(word_personas(RuleModel(write), sample_population(small(1)), tmp_path))


def test_distributions_are_checked() -> None:
    with pytest.raises(InvalidPopulation, match="must be below"):
        PopulationSpecification(3, numbers={"x": NumberDistribution(least=2, most=1)})
    pair = {("a", "b"): 1.0}
    apart = (JointQuota(("x", "y"), pair), JointQuota(("z", "w"), pair), JointQuota(("x", "z"), {("a", "a"): 1.0}))
    with pytest.raises(InvalidPopulation, match="connects attributes"):
        sample_population(PopulationSpecification(3, joint=apart))


def test_a_range_that_ends_below_its_beginning_and_limits_that_a_distribution_misses_are_errors() -> None:
    with pytest.raises(InvalidPopulation, match=r"quotas.age: the range '64-35' ends below its beginning; write 35-64"):
        PopulationSpecification(10, {"age": {"64-35": 1}})
    with pytest.raises(InvalidPopulation, match=r"age: the range '9-2' ends below"):
        PopulationSpecification(10, joint=(JointQuota(("age", "job"), {("9-2", "cook"): 1}),))
    with pytest.raises(InvalidPopulation, match=r"numbers.x: almost none of a normal distribution .* is from 90 to 100"):
        PopulationSpecification(10, numbers={"x": NumberDistribution(mean=50, deviation=1, least=90, most=100)})
