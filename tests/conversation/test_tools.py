"""What can be a tool, and what a model is told of it."""

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from coterie.conversation import Effect, Tool, ToolContext, tool
from coterie.errors import DefinitionError, InvalidSetting
from coterie.work import Retry


class Plan(BaseModel):
    name: str
    price: float = 0


class Size(enum.StrEnum):
    SMALL = "small"


@tool(effect="read", resources=["a"])
async def many_kinds(
    context: ToolContext,
    number: int,
    plan: Plan,
    size: Size = Size.SMALL,
    kind: Literal["x", "y"] = "x",
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    names: list[str] | None = None,
) -> str:
    """Do something with all of it.

    At length.

    Args:
        number: what it counts
            over two lines
        plan: the plan
    """
    return f"{number}"


def test_the_schema_comes_from_the_signature_and_the_description_from_the_docstring() -> None:
    definition = many_kinds.definition
    assert definition.name == "many_kinds"
    assert definition.description == "Do something with all of it.\n\nAt length."
    assert definition.parameters["type"] == "object"
    assert definition.parameters["required"] == ["number", "plan"]
    assert "context" not in definition.parameters["properties"]
    assert definition.parameters["properties"]["number"]["description"] == "what it counts over two lines"
    assert definition.parameters["additionalProperties"] is False


def test_arguments_are_checked_and_turned_into_what_the_function_takes() -> None:
    values, plain = many_kinds.arguments.check({"number": "4", "plan": {"name": "gold"}})
    assert values["number"] == 4
    assert values["plan"] == Plan(name="gold")
    assert plain["plan"] == {"name": "gold", "price": 0}
    assert many_kinds.arguments.check(plain)[0] == values


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"plan": {"name": "x"}}, "number"),
        ({"number": "four", "plan": {"name": "x"}}, "number"),
        ({"number": 4, "plan": {"name": "x"}, "nonsense": 1}, "nonsense"),
        ({"number": 4, "plan": {"name": "x"}, "share": 2}, "share"),
        ([1], "object"),
        ("x", "object"),
        (None, "object"),
    ],
)
def test_what_does_not_fit_the_schema_is_told_so_that_it_can_be_mended(given: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        many_kinds.arguments.check(given)


def test_a_tool_is_still_the_function_that_it_was() -> None:
    @tool
    def double(number: int) -> int:
        return number * 2

    assert isinstance(double, Tool)
    assert double(4) == 8
    assert double.effect is Effect.WRITE
    assert double.resources({"number": 4}) == ("*",)


def test_resources_may_depend_on_the_arguments() -> None:
    @tool(effect="write", resources=lambda number: [f"contract/{number}", "all"])
    def close(number: str) -> None: ...

    assert close.resources({"number": "7"}) == ("contract/7", "all")


def plain(number: int) -> int:
    return number


@pytest.mark.parametrize(
    "options",
    [
        {"effect": "delete"},
        {"patience": -1},
        {"timeout": 0},
        {"timeout": "soon"},
        {"resources": "contract"},
        {"resources": [3]},
        {"retry": 3},
        {"check": "yes"},
        {"guard": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused_where_the_tool_is_defined(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="tool plain"):
        tool(**options)(plain)


def test_a_write_is_not_retried_without_an_idempotency_key() -> None:
    with pytest.raises(DefinitionError, match="idempotency"):
        tool(effect="write", retry=Retry(2))(plain)
    assert tool(effect="write", retry=Retry(2), idempotent=True)(plain).retry == Retry(2)
    assert tool(effect="read", retry=Retry(2))(plain).retry == Retry(2)


def star(*numbers: int) -> None: ...
def keywords(**numbers: int) -> None: ...
def untypable(number: "Nonsense") -> None: ...  # type: ignore[name-defined] # noqa: F821 - that is the point
def request(number: int) -> None: ...


@pytest.mark.parametrize("function", [star, keywords, untypable, request, Plan, 3])
def test_what_cannot_be_a_tool_is_refused(function: Any) -> None:
    with pytest.raises(DefinitionError):
        tool(function)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä"])
def test_a_name_that_a_model_could_not_say_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError):
        tool(name=name)(plain)
