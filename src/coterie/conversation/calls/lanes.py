"""Which tools a turn may use: pure rules, which the runtime applies to every call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coterie.conversation.events import Lane
from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.conversation.operations.schedule import touch, written
from coterie.conversation.tools.tool import Tool


def lane_of(operations: Iterable[Operation]) -> Lane:
    """Return the lane of a turn that begins now: the second while anything runs, or waits to."""
    busy = any(not each.ended and each.state is not OperationState.UNKNOWN for each in operations)
    return Lane.SECOND if busy else Lane.MAIN


def offered(tools: Mapping[str, Tool], lane: Lane) -> list[Tool]:
    """Return the tools that a model is shown in a lane."""
    return [each for each in tools.values() if lane is Lane.MAIN or each.effect is Effect.READ]


def refusal(
    tool: Tool,
    resources: tuple[str, ...],
    lane: Lane,
    operations: Iterable[Operation],
    blocking: Iterable[Operation],
    *,
    requested: bool,
) -> str:
    """Return why a call may not be made now, as a model is told; an empty text if it may.

    `blocking` are attempts that were given up and still run, and writes whose outcome is unknown. `requested` is a call
    that is to be queued, which every lane may ask for.
    """
    for each in blocking:
        harmless = tool.effect is Effect.READ and each.state is OperationState.UNKNOWN
        if touch(each.resources, resources) and not harmless and (tool.effect is Effect.WRITE or each.effect is Effect.WRITE):
            if each.state is OperationState.UNKNOWN:
                return (
                    f"{each.id} {each.tool} touches the same, and it is unknown whether it took effect: "
                    "ask the user, and tell what they say by resolve"
                )
            return (
                f"{each.id} {each.tool} was given up but still runs, and touches the same: this is not possible before it ends"
            )
    if lane is Lane.MAIN or requested:
        return ""
    if tool.effect is Effect.WRITE:
        return f"{tool.name} changes something, and something else is running: queue it with request, or wait"
    writer = written(operations, resources)
    if writer is not None:
        return f"{writer.id} {writer.tool} is changing what {tool.name} reads: wait for its result, or queue it with request"
    return ""
