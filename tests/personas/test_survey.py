"""Questions, the values of their answers, and the table of them."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from coterie.errors import BudgetExhausted, InvalidSetting, ModelUnavailable
from coterie.models import ModelRequest
from coterie.personas import Question, SurveyAnswer, table_by_model, table_by_rules
from coterie.personas.survey import answers_type
from coterie.testing import ScriptedModel

MEAL = Question("meal", "What do you eat?")
PRICE = Question("price", "How much?", "integer", least=1, most=10)
SURE = Question("sure", "Are you sure?", "boolean")
DRINK = Question("drink", "Which?", "choice", ("tea", "green tea", "coffee"))
WEIGHT = Question("weight", "How heavy?", "number", least=0)
ALL = (MEAL, PRICE, SURE, DRINK, WEIGHT)


@pytest.mark.parametrize(
    ("question", "text", "value"),
    [
        (MEAL, " bread ", "bread"),
        (MEAL, "  ", None),
        (PRICE, "I would say 4, not 5.", 4),
        (PRICE, "Three, at most.", 3),
        (PRICE, "In 1999 it was 2.", 2),
        (PRICE, "4.5 euros", None),
        (PRICE, "nothing", None),
        (PRICE, "", None),
        (WEIGHT, "about 2,5 kilos", 2.5),
        (WEIGHT, "-3", None),
        (SURE, "Yes, though not always", True),
        (SURE, "No. Well, yes.", False),
        (SURE, "perhaps", None),
        (DRINK, "Green tea, or coffee", "green tea"),
        (DRINK, "Coffee! Tea is for others", "coffee"),
        (DRINK, "steamed milk", None),
    ],
)
def test_a_value_is_found_by_rules(question: Question, text: str, value: Any) -> None:
    assert question.read(text) == value
    assert type(question.read(text)) is type(value)


def test_a_question_lists_its_possible_answers() -> None:
    assert DRINK.wording == "Which? (Answer with one of: tea, green tea, coffee.)"
    assert PRICE.wording.endswith("(Answer with a whole number from 1 to 10, and why.)")
    assert MEAL.wording == "What do you eat?"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Two Words"},
        {"text": " "},
        {"kind": "essay"},
        {"kind": "choice"},
        {"options": ("a",)},
        {"kind": "choice", "options": ("a", "a")},
        {"kind": "integer", "least": 3, "most": 2},
    ],
)
def test_an_invalid_question_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=r"Question\."):
        Question(**{"name": "x", "text": "?", **wrong})


ANSWERS = (
    SurveyAnswer("Ada", "meal", "=SUM(1)"),
    SurveyAnswer("Ada", "price", "two"),
    SurveyAnswer("Ben", "price", ""),
    SurveyAnswer("Ben", "drink", "tea"),
)


def test_the_table_has_a_row_for_each_and_a_column_for_each() -> None:
    table = table_by_rules(ALL, ANSWERS)
    assert [row.persona for row in table.rows] == ["Ada", "Ben"]
    assert table.column("price") == {"Ada": 2, "Ben": None}
    assert table.counts("price") == {"": 1, "2": 1}
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert rows[0] == {
        "persona": "Ada",
        "meal": "'=SUM(1)",
        "price": "2",
        "sure": "",
        "drink": "",
        "weight": "",
        "extracted_by": "rules",
    }
    assert json.loads(json.dumps(table.to_list()))[1]["drink"] == "tea"


def test_a_model_extracts_typed_values_and_rules_step_in_where_it_fails() -> None:
    good = json.dumps({"meal": "rye bread", "price": 2, "sure": True, "drink": None, "weight": 1.5})

    def answer(request: ModelRequest) -> str | Exception:
        assert request.agent == "extraction"
        return good if request.step == "answers of Ada" else ModelUnavailable("any", "gone")

    table = asyncio.run(table_by_model(ScriptedModel(answer), ALL, ANSWERS))
    ada, ben = table.rows
    assert (ada.by, ada.values["meal"], ada.values["price"]) == ("model", "rye bread", 2)
    assert (ben.by, ben.values["drink"]) == ("rules", "tea")
    assert "gone" in ben.reason


def test_a_misfitting_value_is_requested_again_and_then_left_to_rules() -> None:
    model = ScriptedModel([json.dumps({"price": 99}), "nonsense", json.dumps({"price": 3})])
    table = asyncio.run(table_by_model(model, ALL, ANSWERS[:2]))
    assert table.rows[0].values["price"] == 3
    stubborn = asyncio.run(table_by_model(ScriptedModel(lambda _: json.dumps({"drink": "beer"})), ALL, ANSWERS[:2]))
    assert (stubborn.rows[0].by, stubborn.rows[0].values["price"]) == ("rules", 2)


def test_a_budget_that_is_spent_stops_the_extraction() -> None:
    spent = BudgetExhausted("requests", "", 1, 1)
    with pytest.raises(BudgetExhausted):
        asyncio.run(table_by_model(ScriptedModel(lambda _: spent), ALL, ANSWERS))


def test_the_schema_is_typed() -> None:
    kind = answers_type(ALL)
    assert kind(price=3, drink="tea").price == 3
    for wrong in ({"price": 11}, {"drink": "beer"}, {"sure": "perhaps"}):
        with pytest.raises(ValueError, match="validation error"):
            kind(**wrong)
