"""Personas from files talk to one another by rules, and answer questions in a focus group."""

from pathlib import Path

from coterie import Runtime
from coterie.personas import Population, Question, RuleMind, answer_from_profile, heard, say, table_by_rules, when

PERSONAS = Path(__file__).parent / "interview" / "personas"
QUESTIONS = [
    Question("drink", "What do you drink in the morning?", "choice", ("coffee", "tea")),
    Question("detour", "Would you take a detour for a small bakery?", "boolean"),
]


def main() -> None:
    with Runtime() as runtime:
        mind = RuleMind(
            when(heard("good morning"), say("Morning. Bread?")), when(heard("bread\\?"), say("Always.")), answer_from_profile
        )
        population = Population(runtime, mind=lambda _: mind)
        nora, samuel, *_ = population.load(PERSONAS)[2:]
        population.relate(nora, samuel, "regular customer", back="my baker")
        print(population.converse(nora, samuel, opening="Good morning!", turns=3).result())
        group = population.focus_group("Breakfast", QUESTIONS).result()
        for name, drink in table_by_rules(QUESTIONS, group.answers).column("drink").items():
            print(f"{name}: {drink}")


if __name__ == "__main__":
    main()
