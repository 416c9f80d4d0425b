"""Dead letters: messages without a handler."""

from __future__ import annotations

import enum
import logging
from collections import Counter, deque
from collections.abc import Iterator

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.kernel import Address
from coterie.messaging.message import Message

_log = logging.getLogger(__name__)

_LOGGED = 10
"""The first dead letters are logged one by one; after them only the hundredth, the thousandth, and so on."""


class Reason(enum.Enum):
    """The reason why a message was not handled."""

    UNHANDLED = "no handler for its type"
    EXPIRED = "its time had run out"
    STOPPED = "the agent has stopped"
    UNKNOWN = "no such agent"
    FULL = "the mailbox was full"
    POISON = "its handler failed every time"
    UNDELIVERABLE = "the transport could not carry it"


class DeadLetter(msgspec.Struct, frozen=True):
    """One message that was not handled, with its reason."""

    message: Message
    recipient: Address
    sender: Address | None
    reason: Reason
    at: float
    """Wall time, in seconds since 1970."""
    detail: str = ""

    def __str__(self) -> str:
        origin = self.sender.name if self.sender is not None else "outside"
        detail = f" ({self.detail})" if self.detail else ""
        kind = type(self.message).__qualname__
        return f"{kind} from {origin} to {self.recipient.name} was not handled: {self.reason.value}{detail}"


class DeadLetters:
    """The latest dead letters, oldest first, and their number by reason.

    Iterate over it for the letters that are kept; `len` is their number. Safe from any thread: `_lock` guards all, and
    an iteration goes over a copy.
    """

    def __init__(self, keep: int = 1_000) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._letters: deque[DeadLetter] = deque(maxlen=keep)
        self._counts: Counter[Reason] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Record a letter."""
        with self._lock:
            self._letters.append(letter)
            self._counts[letter.reason] += 1
            total = self._counts.total()
        if total <= _LOGGED:
            _log.warning("dead letter: %s", letter)
        elif str(total).rstrip("0") == "1":
            _log.warning("%d dead letters by now; the latest: %s", total, letter)

    def after_fork_in_child(self) -> None:
        """Replace the lock in a forked process, where its holder does not exist."""
        self._lock = new_lock(Rank.RECORDS)

    def __iter__(self) -> Iterator[DeadLetter]:
        with self._lock:
            return iter(list(self._letters))

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def counts(self) -> dict[Reason, int]:
        """The number of dead letters by reason, including those that are no longer kept."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """The number of dead letters so far."""
        with self._lock:
            return self._counts.total()
