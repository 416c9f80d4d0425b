"""Events on their way into the log."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.errors import InvalidIntent
from coterie.world.journal.log import EventLog
from coterie.world.state.event import Event


def append(log: EventLog, events: Sequence[Event]) -> BaseException | None:
    """Put events into the log, and wait until they are there. Return what interrupted the wait, once they are.

    Raises `InvalidIntent` for what could not be read again, and what the log raises; nothing is written then.
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
        # Ctrl-C while the disk works: whether the events count is not ours to say any more. What they led to must be
        # seen if they are written, or the world would be behind its log; the interrupt goes on after that.
        pending.wait()
        if pending.exception() is not None:
            raise
        return interrupt
    return None
