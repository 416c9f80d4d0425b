"""In every prompt each call is paired with its result."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.conversation import Operation, OperationState, TurnOutcome
from coterie.conversation.entries import (
    ConsentRequestedEntry,
    ConversationEntry,
    DeliveredEntry,
    OperationEndedEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.conversation.events import Lane
from coterie.conversation.session.prompt import INTERRUPTED, project
from coterie.models import TextMessage, ToolCall, ToolResult

from .scripted import assert_paired


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[ConversationEntry], int]:
    """Return a log as turns, crashes, cancellations and deliveries leave it, cut off anywhere, and the turn in hand."""
    log: list[ConversationEntry] = []
    turn = call = number = 0
    said = 0
    for _ in range(draw(st.integers(0, 25))):
        what = draw(st.sampled_from(["said", "called", "returned", "answered", "ended", "told", "confirming", "crash"]))
        if what == "said":
            said += 1
            log.append(UserMessageEntry(turn=said, text=f"question {said}"))
        elif what == "called" and turn < said:
            count = draw(st.integers(1, 3))
            batch = tuple(ToolCall(f"c{call + each}", "tool", {}) for each in range(count))
            call += count
            log.append(ToolCallsEntry(turn=turn + 1, text=draw(st.sampled_from(["", "wait"])), calls=batch))
        elif what == "returned" and call:
            # Some of any earlier call, maybe twice, as after a crash in the middle.
            log.append(ToolResultEntry(turn=turn + 1, call=f"c{draw(st.integers(0, call - 1))}", tool="tool", content="result"))
        elif what == "answered" and turn < said:
            turn += 1
            outcome = draw(st.sampled_from(list(TurnOutcome)))
            log.append(
                TurnEndedEntry(turn=turn, lane=Lane.MAIN, outcome=outcome, text=f"answer {turn}", whole=f"answer {turn}")
            )
        elif what in ("ended", "told"):
            number += 1
            state = draw(st.sampled_from([*(each for each in OperationState if each.ended), OperationState.UNKNOWN]))
            one = Operation(number=number, tool="tool", arguments={}, state=state, background=draw(st.booleans()), epoch=number)
            log.append(
                OperationEndedEntry(operation=one)
                if what == "ended"
                else DeliveredEntry(operations=(one,), text="told", merged=False)
            )
        elif what == "confirming":
            log.append(ConsentRequestedEntry(turn=turn + 1, tool="tool", arguments={}))
    kept = draw(st.integers(0, len(log)))
    return log[kept:] if draw(st.booleans()) else log[:kept], turn + 1


@settings(max_examples=400)
@given(histories(), st.integers(1, 10))
def test_every_call_is_followed_by_its_result(history: tuple[list[ConversationEntry], int], limit: int) -> None:
    log, turn = history
    for current in (None, turn):
        prompt = project(log, turn=current, limit=limit)
        assert_paired(prompt)
        assert project(log, turn=current, limit=limit) == prompt


@given(histories())
def test_no_question_and_no_answer_is_lost_and_each_answer_follows_its_question(
    history: tuple[list[ConversationEntry], int],
) -> None:
    log, turn = history
    prompt = project(log, turn=turn, limit=1_000)
    texts = [each.text for each in prompt if isinstance(each, TextMessage)]
    answered = {entry.turn for entry in log if isinstance(entry, TurnEndedEntry)}
    asked = {entry.turn for entry in log if isinstance(entry, UserMessageEntry)}
    for each in answered:
        assert texts.count(f"answer {each}") == 1
        if each in asked:
            assert texts.index(f"question {each}") < texts.index(f"answer {each}")
    if turn in asked:
        assert f"question {turn}" in texts
    assert not any(f"question {each}" in texts for each in asked - answered if each > turn)


def test_a_call_without_a_result_is_shown_as_interrupted() -> None:
    log: list[ConversationEntry] = [
        UserMessageEntry(turn=1, text="do it"),
        ToolCallsEntry(turn=1, text="", calls=(ToolCall("c1", "tool", {}),)),
    ]
    assert project(log, turn=1)[-1] == ToolResult("c1", "tool", INTERRUPTED, failed=True)


def test_a_question_that_came_while_another_was_answered_stands_with_its_own_answer() -> None:
    one = Operation(number=1, tool="tool", arguments={}, state=OperationState.SUCCEEDED, background=True)
    log: list[ConversationEntry] = [
        UserMessageEntry(turn=1, text="first"),
        UserMessageEntry(turn=2, text="second"),
        TurnEndedEntry(turn=1, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="one", whole="one"),
        DeliveredEntry(operations=(one,), text="done", merged=False),
    ]
    assert [each.text for each in project(log, turn=2) if isinstance(each, TextMessage)] == ["first", "one", "done", "second"]
