"""The messages of a mailbox that its taker does not get: their end, and the removal of those that are not needed any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from coterie.messaging.envelope import Envelope

_REMOVED = 64
"""Messages that one look removes, at most."""
_LOOKED_AT = 10_000
"""Messages of a band that one look examines, at most."""
_LOOK_AGAIN = 0.1
"""Seconds after which a look is worth its time, also if few asks have ended meanwhile."""


class MailboxTaker(Protocol):
    """The taker of the messages of a mailbox."""

    def wake(self) -> None:
        """Let it take messages soon. Called from any thread."""
        ...


class MailboxEnds(Protocol):
    """Ends the messages of a mailbox that its taker does not get. Called from any thread."""

    def make_room(self, envelope: Envelope) -> None:
        """End a message that was removed to make room for another."""
        ...

    def refuse(self, envelope: Envelope) -> None:
        """End a message that found the mailbox closed, or that waited for room when it was closed."""
        ...

    def expire_outside(self, envelope: Envelope) -> None:
        """End a message whose time was over when its place was needed."""
        ...


class StaleMessages:
    """Finds the messages of a mailbox whose ask has ended, or whose time is over. Guarded by the lock of the mailbox.

    A look costs time that grows with the mailbox, so it is taken only if it will find a fair share, or was not for a while.
    """

    __slots__ = ("_looked_at", "ended_asks")

    def __init__(self) -> None:
        self.ended_asks = 0
        """The asks that have ended since the last look; their messages may be queued. A hint: any thread may write it."""
        self._looked_at = float("-inf")

    def remove(self, bands: Iterable[deque[Envelope]], held: int, now: float) -> tuple[list[Envelope], int]:
        """Remove some; return those whose time is over, and the number of those whose ask has ended without that."""
        overdue: list[Envelope] = []
        ended = 0
        if self.ended_asks * _REMOVED < held and now - self._looked_at < _LOOK_AGAIN:
            return overdue, ended
        self.ended_asks = 0
        self._looked_at = now
        for band in bands:
            # The taker may remove messages from the left end meanwhile, without the lock.
            for envelope in islice(band.copy(), _LOOKED_AT):
                late = envelope.deadline is not None and envelope.deadline <= now
                if not late and (envelope.reply is None or not envelope.reply.done):
                    continue
                try:
                    band.remove(envelope)
                except ValueError:
                    # The taker has it.
                    continue
                if late:
                    overdue.append(envelope)
                else:
                    ended += 1
                if len(overdue) + ended == _REMOVED:
                    # There may be more of them: the next look is worth its time.
                    self.ended_asks = held
                    return overdue, ended
        return overdue, ended
