"""The definition of tools, and their schema for the model."""

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


def test_arguments_are_validated_and_converted_for_the_function() -> None:
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
def test_arguments_outside_the_schema_get_an_error_with_a_remedy(given: object, told: str) -> None:
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
def test_invalid_settings_are_refused_where_the_tool_is_defined(options: dict[str, Any]) -> None:
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
def test_an_invalid_tool_function_is_refused(function: Any) -> None:
    with pytest.raises(DefinitionError):
        tool(function)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä"])
def test_a_name_that_a_model_could_not_say_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError):
        tool(name=name)(plain)


def test_parameters_may_have_any_name(recwarn: pytest.WarningsRecorder) -> None:
    @tool
    def many(json: int, schema: str, model_dump: int, model_config: int, copy: int = 1) -> None:
        """Take them."""

    given = {"json": 1, "schema": "x", "model_dump": 2, "model_config": 3}
    assert list(many.arguments.schema["properties"]) == [*given, "copy"]
    assert many.arguments.check(given) == ({**given, "copy": 1}, {**given, "copy": 1})
    assert not recwarn.list


def test_stored_arguments_validate_again_with_any_pydantic_alias() -> None:
    @tool
    def aliased(number: Annotated[int, Field(alias="no", ge=0)]) -> None:
        """Take it."""

    values, plain = aliased.arguments.check({"number": 4})
    assert (values, plain) == ({"number": 4}, {"number": 4})
    assert aliased.arguments.check(plain)[0] == values
    with pytest.raises(ValueError, match="number: Input should be greater"):
        aliased.arguments.check({"number": -1})


def test_arguments_that_cannot_be_stored_are_invalid() -> None:
    @tool
    def anything(x: Any, share: float = 0) -> None:
        """Take it."""

    for unfit in ({"x": 10**30}, {"x": object()}, {"x": 1, "share": float("inf")}):
        with pytest.raises(ValueError):  # noqa: PT011 - which words is not promised
            anything.arguments.check(unfit)


def test_a_context_may_be_optional_and_there_may_be_two() -> None:
    @tool
    def both(one: ToolContext | None, two: "ToolContext | None", number: int) -> None:
        """Take them."""

    assert list(both.arguments.schema["properties"]) == ["number"]


def test_partial_calls_and_methods_of_objects_are_tools() -> None:
    import functools  # noqa: PLC0415 - the one use

    class Shop:
        def buy(self, item: str) -> str:
            """Buy it."""
            return item

    def add(one: int, other: int) -> int:
        """Add them."""
        return one + other

    assert tool(Shop().buy).description == "Buy it."
    assert tool(name="add")(functools.partial(add, 1)).description == "Add them."


def _yields(number: int) -> Any:
    yield number


async def _yields_later(number: int) -> Any:
    yield number


def _method(self, number: int) -> Any:  # type: ignore[no-untyped-def]
    return number


def _context_by_place(context: ToolContext, /) -> Any:
    return context


@pytest.mark.parametrize("function", [_yields, _yields_later, _method, _context_by_place, many_kinds])
def test_a_tool_that_can_only_fail_is_refused_at_its_definition(function: Any) -> None:
    with pytest.raises(DefinitionError):
        tool(name="odd")(function)


@pytest.mark.parametrize("setting", ["guard", "check", "compensate", "resources", "idempotency_key"])
def test_a_function_option_with_unknown_parameters_is_refused(setting: str) -> None:
    options: Any = {setting: lambda nummer: nummer}
    with pytest.raises(
        DefinitionError, match="needs nummer, which the tool does not have; use the parameters of the tool: number"
    ):
        tool(**options)(_plain)


def _plain(number: int) -> int:
    return number


@pytest.mark.parametrize("options", [{"long_running": "yes"}, {"idempotent": 1}, {"confirm": 2}, {"description": 3}])
def test_options_of_the_wrong_kind_are_refused(options: Any) -> None:
    with pytest.raises(InvalidSetting):
        tool(**options)(_plain)
