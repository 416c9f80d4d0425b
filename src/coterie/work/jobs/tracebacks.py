"""Tracebacks of retained errors, without the variables of their frames."""

from __future__ import annotations

import traceback
from pathlib import Path

_HERE = str(Path(__file__).parent.parent)


def release_frames(error: BaseException) -> None:
    """Drop the variables of all frames in the tracebacks of an error and its causes, and the frames of this room.

    The traceback keeps its files and lines. Otherwise the error of each failed job would keep its arguments and locals alive.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        trace = each.__traceback__
        # Clear the frames of the library too, because the others refer to them.
        traceback.clear_frames(trace)
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
            trace = trace.tb_next
        # A frozen error refuses an assignment, which is a call of its own method.
        BaseException.with_traceback(each, trace)
        pending += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions
