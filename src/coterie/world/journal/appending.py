"""Append events to the log."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.errors import InvalidIntent
from coterie.world.journal.log import EventLog
from coterie.world.state.event import Event


def append(log: EventLog, events: Sequence[Event]) -> BaseException | None:
    """Append events and wait until they are stored. Return an interrupt of the wait, after they are stored.

    Raises `InvalidIntent` if they could not be decoded again, and errors of the log; nothing is written then.
    """
    try:
        pending = log.append(events)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidIntent("one of these", f"it cannot be recorded ({error})") from error
    try:
        pending.result()
    except Exception:
        raise
    except BaseException as interrupt:
        # Ctrl-C during the write: if the events are stored, the world must apply them, or it would fall behind its
        # log. The caller raises the interrupt after that.
        pending.wait()
        if pending.exception() is not None:
            raise
        return interrupt
    return None
