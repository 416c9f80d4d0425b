"""The stored messages for one durable agent: which of them are in its mailbox, and whether more are in the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from coterie.concurrency import Rank, new_lock
from coterie.durable import StoredMessage

_BATCH = 100
"""So many stored messages at most are in the mailbox of one agent; the others stay in the store meanwhile."""


class InboxOwner(Protocol):
    """The endpoint of the agent. Safe from any thread."""

    def due(self, limit: int) -> list[StoredMessage]:
        """Return the stored messages that are due, oldest first. Blocks for a read."""
        ...

    def put(self, message: StoredMessage) -> bool:
        """Put a stored message into the mailbox; return whether it had a place."""
        ...

    def refill_soon(self, *, delayed: bool) -> None:
        """Have `refill` called on a thread that may block; with `delayed` after a pause."""
        ...


class StoredInbox:
    """Delivers the stored messages of one agent in their order. `_lock` guards the fields; nothing is called under it."""

    __slots__ = ("_finished", "_inflight", "_lock", "_more", "_owner", "_read")

    def __init__(self, owner: InboxOwner) -> None:
        self._owner = owner
        self._lock = new_lock(Rank.ENTITY_INBOX)
        self._inflight: dict[int, None] = {}
        """The numbers of the messages in the mailbox, or on the way to it."""
        self._more = 0
        """Counts up whenever a message was left in the store; 0 when none is there."""
        self._read = 0
        """The greatest number that was read from the store."""
        self._finished: set[int] | None = None
        """The messages that were handled while the store is being read, which may still show them; None at other times."""

    def offer(self, message: StoredMessage) -> None:
        """Deliver a message that was just stored, unless earlier ones wait in the store: then it waits there too.

        A message that may have been read from the store already, and even handled, is looked up there.
        """
        with self._lock:
            if message.number in self._inflight:
                return
            known = message.number <= self._read
            if known or self._more or len(self._inflight) >= _BATCH:
                self._more += 1
                refill = known and not self._inflight
            else:
                self._inflight[message.number] = None
                refill = None
        if refill is not None:
            if refill:
                self._owner.refill_soon(delayed=False)
            return
        if not self._owner.put(message):
            self.release([message.number])

    def mark(self) -> None:
        """Note that messages may be in the store."""
        with self._lock:
            self._more += 1

    def finish(self, number: int) -> None:
        """Note that a message has been handled, or is dead; fetch more after the last one."""
        with self._lock:
            self._inflight.pop(number, None)
            if self._finished is not None:
                self._finished.add(number)
            refill = self._more > 0 and not self._inflight
        if refill:
            self._owner.refill_soon(delayed=False)

    def release(self, numbers: Iterable[int]) -> None:
        """Note that messages have left the mailbox unhandled, and must be delivered again."""
        with self._lock:
            for number in numbers:
                self._inflight.pop(number, None)
            self._more += 1
            refill = not self._inflight
        if refill:
            self._owner.refill_soon(delayed=True)

    def refill(self) -> None:
        """Deliver messages from the store, once none of an earlier batch is in the mailbox. Blocks for reads."""
        while True:
            with self._lock:
                if self._inflight or not self._more or self._finished is not None:
                    # `finish` and `release` call for it again.
                    return
                more = self._more
                self._finished = set()
            try:
                batch = self._owner.due(_BATCH)
            except BaseException:
                with self._lock:
                    self._finished = None
                raise
            with self._lock:
                finished, self._finished = self._finished, None
                fresh = [each for each in batch if each.number not in self._inflight and each.number not in finished]
                if batch:
                    self._read = max(self._read, batch[-1].number)
                self._inflight.update((message.number, None) for message in fresh)
                complete = len(batch) < _BATCH and self._more == more
                if complete:
                    self._more = 0
            for place, message in enumerate(fresh):
                if not self._owner.put(message):
                    # None may overtake it.
                    self.release(each.number for each in fresh[place:])
                    return
            if complete:
                return
