"""Stack dumps of threads, as text."""

from __future__ import annotations

import sys
import threading
import traceback


def stack_of(thread_id: int | None) -> str:
    """Return the stack of a thread, innermost call last; an empty text if it has ended or has no Python frame."""
    frame = sys._current_frames().get(thread_id) if thread_id is not None else None  # noqa: SLF001 - documented, but private by name
    return "".join(traceback.format_stack(frame)) if frame is not None else ""


def dump_stacks() -> str:
    """Return the stacks of all threads of the process, each under the name of its thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"thread {names.get(ident, '?')} ({ident})\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - as above
    ]
    return "\n".join(parts)
