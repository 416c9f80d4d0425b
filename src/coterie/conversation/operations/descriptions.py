"""Texts about operations for models and users."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from coterie.conversation.operations.operation import Operation, OperationState

_MINUTE = 90.0
_ARGUMENTS = 1_000
"""Characters of arguments that a model is shown at most."""


def seconds(value: float) -> str:
    """Return a duration as text, such as ``40 s`` or ``3 min``."""
    return f"{value / 60:.0f} min" if value >= _MINUTE else f"{value:.0f} s" if value >= 1 else f"{value:.1f} s"


def outcome_line(operation: Operation) -> str:
    """Return the outcome of an operation, for a model."""
    more = f" ({operation.detail})" if operation.detail else ""
    what = f": {operation.content}" if operation.content else ""
    if operation.state is OperationState.UNKNOWN:
        return (
            f"{operation.id} {operation.tool}: it is unknown whether it took effect{more}. "
            "Ask the user, and tell what they say by resolve."
        )
    if operation.state is OperationState.AWAITING_APPROVAL:
        return f"{operation.id} {operation.tool} awaits approval, and has not begun: {operation.question}"
    return f"{operation.id} {operation.tool} {operation.state}{more}{what}"


def status_line(operation: Operation, queue: Sequence[Operation], now: float) -> str:
    """Return the status of an operation, for a model."""
    if operation.ended or operation.state.needs_person:
        return outcome_line(operation)
    name = f"{operation.id} {operation.tool}"
    estimate = f"; usually takes about {seconds(operation.estimate)}" if operation.estimate is not None else ""
    if operation.state is OperationState.QUEUED:
        places = [each.number for each in queue]
        place = f" at place {places.index(operation.number) + 1} of {len(places)}" if operation.number in places else ""
        return f"{name} waits in the queue{place}{estimate}"
    line = f": {operation.line}" if operation.line else ""
    since = f", for {seconds(max(0.0, now - operation.started_at))}" if operation.started_at is not None else ""
    word = "is being cancelled" if operation.state is OperationState.CANCELLING else "is running"
    return f"{name} {word}, {operation.fraction:.0%} done{since}{line}{estimate}"


def awaiting_line(operation: Operation) -> str:
    """Return an operation that awaits approval with its arguments, which a person may have changed, for a model."""
    arguments = json.dumps(msgspec.to_builtins(operation.arguments), ensure_ascii=False, default=str)[:_ARGUMENTS]
    return f"{operation.id} {operation.tool} {arguments}: {operation.question}"


def delivery_text(operation: Operation) -> str:
    """Return the plain delivery of an operation, for the user."""
    match operation.state:
        case OperationState.SUCCEEDED:
            return operation.content or f"{_title(operation)} is done."
        case OperationState.FAILED:
            return f"{_title(operation)} failed: {operation.content or operation.detail or 'nobody knows why'}"
        case OperationState.CANCELLED:
            why = f": {operation.detail}" if operation.detail else ""
            return f"{_title(operation)} was cancelled before it took effect{why}."
        case OperationState.COMPENSATED:
            return f"{_title(operation)} was cancelled, and what it had done was undone."
        case OperationState.TIMED_OUT:
            return f"{_title(operation)} took too long and was given up. {operation.detail}".rstrip()
        case _:
            return (
                f"I was interrupted during {_title(operation)} ({operation.id}), and I do not know whether it took effect. "
                "Do you know, or shall I try again?"
            )


def _title(operation: Operation) -> str:
    return operation.tool.replace("_", " ")
