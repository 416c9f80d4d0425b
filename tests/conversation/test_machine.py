"""The state machine of operations: all allowed transitions and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.conversation import Effect, Operation, OperationState
from coterie.conversation.operations import machine
from coterie.conversation.operations.machine import conflict, queue, runnable
from coterie.errors.conversation import TransitionRefused

STATES = st.sampled_from(list(OperationState))
ENDS = [state for state in OperationState if state.ended]


def an_operation(number: int = 1, **facts: object) -> Operation:
    return Operation(number=number, tool="t", arguments={}, **facts)  # type: ignore[arg-type] # by name


@given(st.lists(STATES, max_size=30))
def test_an_operation_reaches_at_most_one_end_and_never_leaves_it(wanted: list[OperationState]) -> None:
    operation = an_operation()
    ends = []
    for state in wanted:
        before = operation
        try:
            operation = machine.move(operation, state)
        except TransitionRefused:
            assert state not in machine.TRANSITIONS.get(before.state, ())
            assert operation == before
        else:
            assert operation.epoch == before.epoch + 1
            if state.ended:
                ends.append(state)
    assert len(ends) <= 1
    assert operation.ended == bool(ends)


def test_every_state_can_reach_an_end_state() -> None:
    for state in OperationState:
        reachable, todo = set(), [state]
        while todo:
            for after in machine.TRANSITIONS.get(todo.pop(), ()):
                if after not in reachable:
                    reachable.add(after)
                    todo.append(after)
        assert state.ended or reachable & set(ENDS)
        assert not (state.ended and reachable)


def test_success_sets_full_progress_and_end_refuses_other_states() -> None:
    running = machine.begin(an_operation(), now=5)
    assert (running.state, running.attempt, running.started_at) == (OperationState.RUNNING, 1, 5)
    done = machine.end(running, OperationState.SUCCEEDED, 9, "yes")
    assert (done.fraction, done.ended_at, done.content) == (1.0, 9, "yes")
    with pytest.raises(TransitionRefused, match="not an end state"):
        machine.end(running, OperationState.CANCELLING, 9)


OPERATIONS = st.lists(
    st.builds(
        lambda effect, resources, state, place: (effect, tuple(resources), state, place),
        st.sampled_from(list(Effect)),
        st.lists(st.sampled_from(["a", "b", "c", "*"]), max_size=2, unique=True),
        st.sampled_from([OperationState.QUEUED, OperationState.RUNNING, OperationState.SUCCEEDED]),
        st.integers(0, 3),
    ),
    max_size=8,
)


@given(OPERATIONS)
def test_runnable_operations_conflict_neither_with_running_ones_nor_with_each_other(facts: list[tuple]) -> None:  # type: ignore[type-arg] # as built above
    known = [
        an_operation(number, effect=effect, resources=resources, state=state, place=place)
        for number, (effect, resources, state, place) in enumerate(facts, 1)
    ]
    ready = runnable(known)
    active = [each for each in known if each.state is OperationState.RUNNING]
    for each in ready:
        assert not any(conflict(each, other) for other in active if other is not each)
        assert not any(conflict(each, other) for other in ready if other is not each)
    # Nobody is passed over but by those that he does not conflict with, and the first that waits only waits for what runs.
    waiting = queue(known)
    for index, each in enumerate(waiting):
        if each not in ready:
            assert any(conflict(each, other) for other in [*active, *waiting[:index]])
