"""Market research: personas from files and a sample, a survey, an A/B test of two adverts, a focus group, and a report."""

from pathlib import Path

from coterie import Runtime
from coterie.orchestrator import assign, compare_answers, compare_groups, write_study_report
from coterie.personas import (
    Population,
    PopulationSpecification,
    Question,
    RuleMind,
    answer_from_profile,
    heard,
    load_personas,
    sample_population,
    say,
    sometimes,
    story,
    when,
)
from coterie.tables import DataTable

FILES = Path(__file__).parent / "interview" / "personas"
TOWN = PopulationSpecification(
    size=60,
    quotas={"age": {"18-39": 0.4, "40-64": 0.4, "65-90": 0.2}, "occupation": {"baker": 0.1, "nurse": 0.4, "teacher": 0.5}},
    name="Townsperson {number}",
)
QUESTIONS = [
    Question("price", "What would you pay for a loaf of good bread?", "integer", least=1, most=10),
    Question("drink", "What do you drink with it?", "choice", ("coffee", "tea")),
]
ADVERTS = {
    "plain": "Would you try our bread? We bake it every morning.",
    "warm": "Would you try our bread? Come in from the cold, it is still warm.",
}
# A language model instead of rules: ModelMind(ModelGateway("ollama:qwen3", base_url="http://localhost:11434/v1")).
MIND = RuleMind(when(heard("still warm"), sometimes(0.9, say("Yes, I like it warm."))), answer_from_profile)


def main() -> None:
    with Runtime() as runtime:
        population = Population(runtime, mind=lambda _: MIND)
        panel = population.add_all(load_personas(FILES))
        town = population.add_all(sample_population(TOWN, seed=7))
        print(f"{len(panel)} personas from files, {len(town)} sampled")

        # The survey: the answers of forty count like those of the whole town.
        survey = population.survey(QUESTIONS, town[:40], weights=TOWN).result()
        mean = survey.table.mean("price")
        assert mean is not None
        print(f"price {mean:.1f}, coffee {survey.table.shares('drink')['coffee']:.0%}")

        # The A/B test: half of the town sees each advert, at random, alike in age.
        assignment = assign(town, list(ADVERTS), seed=7, strata=lambda ref: ref.persona.age // 25)
        bought: dict[str, object] = {}
        for arm, advert in ADVERTS.items():
            asked = [Question("tries", advert, "boolean")]
            answers = population.survey(asked, assignment.units(arm), label=f"advert {arm}").result()
            bought.update(answers.table.column("tries"))
        groups = assignment.split(bought)
        compared = compare_groups(groups)[0]
        print(f"{compared.name} against {compared.baseline}: {compared.difference:+.2f}, p {compared.t_p:.3f}")

        # The focus group: those from the files hear one another.
        group = population.focus_group("Bread", QUESTIONS, panel).result()
        print(f"{len(group.transcript.lines)} lines, {len(group.missed)} turns missed")

    assignment.save("study/assignment.json")
    survey.table.table().write("study/answers.parquet")
    chances = DataTable.of_rows([{"advert": arm, **counts} for arm, counts in compare_answers(groups).counts.items()])
    sections = [
        ("Survey", f"Mean price {mean:.2f}; weighted by age and occupation.", survey.table.table()),
        ("Adverts", f"Difference {compared.difference:+.2f}, p {compared.t_p:.3f} (Welch).", chances),
        ("Assignment", f"At random, in strata of age: {assignment.counts()}", assignment.table()),
        ("Focus group", story("Bread", group), None),
    ]
    written = write_study_report("study", "Bread in our town", sections)
    print("report:", ", ".join(path.name for path in written))


if __name__ == "__main__":
    main()
