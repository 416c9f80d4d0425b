"""The lines of a conversation, wrapped to the width of the terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable

from coterie.cli.output import bar, drawn
from coterie.conversation import Operation, OperationState

YOU = "you"
INDENT = "  "
_BAR = 20
_TITLE = 26
_LEAST = 16
"""The minimum number of columns of a line."""


def clean(text: str) -> str:
    """Return a text without control characters, so that the text of a model or a tool cannot control the terminal."""
    return "".join(each if each == "\n" or unicodedata.category(each)[0] != "C" else " " for each in text.replace("\t", " "))


def wrapped(who: str, text: str, width: int) -> str:
    """Return an utterance with the speaker's name, wrapped between words."""
    first = f"{who}: "
    lines: list[str] = []
    for paragraph in clean(text).splitlines() or [""]:
        indent = INDENT if lines else first
        lines += _wrap(paragraph, width, indent, INDENT) or [""]
    return "\n".join(lines)


def bars(operations: Iterable[Operation], width: int, now: float) -> list[str]:
    """Return a line for each running operation: its name, progress, current step, and estimated remaining time."""
    return [_bar(each, max(_LEAST, width - 1), now) for each in operations]


def note(text: str, width: int) -> str:
    """Return a line that is not part of the conversation."""
    return "\n".join(_wrap(f"({clean(text)})", width, INDENT, INDENT + " "))


def _wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    """Return a paragraph in lines that are wrapped between words; a word longer than a line stays whole."""
    return textwrap.wrap(
        text,
        max(_LEAST, width - 1),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def step(operation: Operation) -> str:
    """Return the status of an operation as a line, for a screen without bars."""
    line = f": {clean(operation.line)}" if operation.line else ""
    match operation.state:
        case OperationState.RUNNING:
            return f"{INDENT}[{operation.id} {title(operation)}] {operation.fraction:.0%}{line}"
        case OperationState.QUEUED:
            return f"{INDENT}[{operation.id} {title(operation)}] waits for its turn"
        case OperationState.AWAITING_APPROVAL:
            return f"{INDENT}[{operation.id} {title(operation)}] awaits approval: {arguments(operation)}"
        case OperationState.UNKNOWN:
            return (
                f"{INDENT}[{operation.id} {title(operation)}] was interrupted: /resolve {operation.id} succeeded|failed|retry"
            )
        case _:
            return f"{INDENT}[{operation.id} {title(operation)}] {operation.state}"


def arguments(operation: Operation) -> str:
    """Return the arguments of an operation, for a person who decides on it."""
    return clean(", ".join(f"{name} {value}" for name, value in operation.arguments.items())) or "no arguments"


def title(operation: Operation) -> str:
    """Return a readable name of an operation."""
    return operation.tool.replace("_", " ")


def _bar(operation: Operation, width: int, now: float) -> str:
    name = f"{operation.id} {title(operation)}"
    room = min(_TITLE, width // 2)
    name = name if len(name) <= room else name[: room - 1] + drawn("…", "~")
    if operation.state is OperationState.QUEUED:
        rest = "waits for its turn"
    elif operation.state is OperationState.CANCELLING:
        rest = "is being cancelled"
    elif operation.state is OperationState.UNKNOWN:
        rest = f"was interrupted: /resolve {operation.id} succeeded|failed|retry"
    elif operation.state is OperationState.AWAITING_APPROVAL:
        rest = f"awaits approval: {arguments(operation)}"
    else:
        long = _BAR if width >= 100 else _BAR // 2  # noqa: PLR2004 - columns
        done = round(long * operation.fraction)
        left = _left(operation, now)
        full, empty = bar(done, long - done)
        rest = f"{full}{empty} {operation.fraction:>4.0%} {left:>7}  {clean(operation.line)}"
    line = f"{INDENT}{name:<{room}} {rest}"
    return line if len(line) <= width else line[: width - 1] + drawn("…", "~")


def _left(operation: Operation, now: float) -> str:
    if operation.estimate is None or operation.started_at is None:
        return ""
    left = operation.estimate - (now - operation.started_at)
    return f"~{left:.0f} s" if left >= 1 else ""
