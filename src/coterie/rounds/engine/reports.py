"""Reports of turns that ended, and the queue in which they come to the engine."""

from __future__ import annotations

import queue
from typing import Any, TypeAlias

import msgspec

from coterie.concurrency import waits
from coterie.rounds.turn import Turn


class Report(msgspec.Struct, gc=False):
    """The end of a turn, reported to the engine."""

    turn: Turn
    value: Any = None
    error: BaseException | None = None
    """The exception that the stage raised, else None."""
    state: bytes | None = None
    """The agent's state after the turn, if requested."""
    late: bool = False
    """Whether the deadline reports, and not the turn."""
    began: float = 0.0
    ended: float = 0.0


Inbox: TypeAlias = "queue.SimpleQueue[Any]"
"""The queue of the engine's reports: of turns, and of queues that have nothing more to do; or an error of the runtime."""


@waits
def take(inbox: Inbox, timeout: float | None = None) -> Any:
    """Wait for the next report, up to `timeout` seconds of real time; then return None."""
    try:
        return inbox.get(timeout=timeout)
    except queue.Empty:
        return None
