"""What the rules say has no word of the runtime in it, which is meant for models."""

import re

import pytest
from examples.telco.carrier.rules import phrases
from examples.telco.carrier.rules.answering import answer

from coterie.conversation import Operation, OperationState, tool
from coterie.conversation.events import Lane
from coterie.conversation.operations.descriptions import outcome_line, status_line
from coterie.conversation.session.scheduler import obstacle
from coterie.conversation.session.tool_calls import refusal
from coterie.models import ModelRequest, TextMessage, ToolCall, ToolDefinition, ToolResult

WORDS = re.compile(r"op-\d|resolve|[a-z]_[a-z]|call again|ask the user|the guard|queue it with|arguments")


def an_operation(state: OperationState, content: str = "", detail: str = "") -> Operation:
    return Operation(
        number=1, tool="close_contract", arguments={}, resources=("*",), state=state, content=content, detail=detail
    )


@tool(name="change_package")
def changing() -> str:
    """Stand in for a tool."""
    return ""


def refusals() -> list[str]:
    blocked = [an_operation(state) for state in (OperationState.UNKNOWN, OperationState.TIMED_OUT)]
    found = [obstacle(changing, ("*",), [each]) for each in blocked]
    found.append(refusal(changing, ("*",), Lane.SECOND, [an_operation(OperationState.RUNNING)], requested=False))
    return [
        *found,
        "20 operations are under way already: wait until one has ended, or cancel one",
        "there is no tool 'x'; there are: close_contract",
        "the arguments do not fit: code: it is a secret and was not kept; ask the user for it again. Mend them and call again.",
        "the arguments do not fit: number: Field required. Mend them and call again.",
        "the call cannot be checked: KeyError: 'x'",
        "the guard could not decide whether this is allowed: TimeoutError",
        "there is no operation 'op-9'; under way: op-1",
        "Not run: the reply ended by length, so the call may be incomplete. Make the whole call again, in a shorter reply.",
    ]


@pytest.mark.parametrize("text", refusals())
@pytest.mark.parametrize("name", ["change_package", "cancel", "get_billing_summary", "resolve"])
def test_a_refusal_is_said_in_the_companys_words(text: str, name: str) -> None:
    said = phrases.spoken(ToolCall("x", name), ToolResult("x", name, text, failed=True))
    assert said
    assert not WORDS.search(said), said


@pytest.mark.parametrize("state", list(OperationState))
@pytest.mark.parametrize(
    "content", ["", "code is secret and was not kept when the process ended: it has to be asked for again"]
)
@pytest.mark.parametrize("detail", ["", "the service was stopped; ask for it again if it is still wanted"])
def test_an_outcome_is_said_in_the_companys_words(state: OperationState, content: str, detail: str) -> None:
    operation = an_operation(state, content if state is OperationState.FAILED else "", detail)
    for text in (outcome_line(operation), status_line(operation, [], 0.0)):
        for name in ("check_status", "list", "cancel", "close_contract"):
            said = phrases.spoken(ToolCall("x", name), ToolResult("x", name, text))
            assert not WORDS.search(said), said
        if state.ended or state is OperationState.UNKNOWN:
            assert not WORDS.search(phrases.outcome(text)), text


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("try again", "retry"),
        ("yes, please try it again", "retry"),
        ("it was not done", "failed"),
        ("no, it didn't work", "failed"),
        ("it is done", "succeeded"),
        ("yes, the contract is closed", "succeeded"),
    ],
)
def test_the_customer_settles_what_is_unknown(said: str, outcome: str) -> None:
    unknown = an_operation(OperationState.UNKNOWN, detail="the process ended while it ran")
    request = ModelRequest(
        instructions="",
        exchanges=(
            ToolCall("status-1", "check_status", {}),
            ToolResult("status-1", "check_status", outcome_line(unknown)),
            TextMessage("assistant", phrases.outcome(outcome_line(unknown))),
            TextMessage("user", said),
        ),
        tools=(ToolDefinition("resolve", "", {}), ToolDefinition("check_status", "", {})),
    )
    assert [(each.name, each.arguments) for each in answer(request).calls] == [
        ("resolve", {"operation": "op-1", "outcome": outcome})
    ]


def test_a_plain_yes_to_a_question_with_two_parts_is_asked_back() -> None:
    unknown = an_operation(OperationState.UNKNOWN)
    request = ModelRequest(
        instructions="",
        exchanges=(
            ToolCall("status-1", "check_status", {}),
            ToolResult("status-1", "check_status", outcome_line(unknown)),
            TextMessage("assistant", phrases.outcome(outcome_line(unknown))),
            TextMessage("user", "yes"),
        ),
        tools=(ToolDefinition("resolve", "", {}),),
    )
    assert answer(request).text == phrases.SETTLE
