"""Dead letters: messages without a handler."""

from __future__ import annotations

import enum
import itertools
import logging
import sys
from collections import Counter, deque
from collections.abc import Iterator

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.threads import defer
from coterie.kernel import Address
from coterie.messaging.message import Message

_log = logging.getLogger(__name__)

_LOGGED = 10
"""The first dead letters are logged one by one; after them only the hundredth, the thousandth, and so on."""


_BYTES = 16 * 2**20
"""Approximate bytes of all messages that are kept."""
_LOOKED_AT = 200
"""Maximum objects of a message that the estimate of its size looks at."""


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
    an iteration goes over a copy. The letters that are kept are bounded by their number and by the bytes of their messages.
    """

    def __init__(self, keep: int = 1_000, most_bytes: int = _BYTES) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._keep = keep
        self._most_bytes = most_bytes
        self._letters: deque[tuple[DeadLetter, int]] = deque()
        self._bytes = 0
        self._counts: Counter[Reason] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Record a letter."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.add(letter))
            return
        size = _size(letter.message)
        # The finalizer of a message that is dropped is code of a user: it runs after the lock is released.
        dropped = []
        with self._lock:
            self._letters.append((letter, size))
            self._bytes += size
            while len(self._letters) > self._keep or (self._bytes > self._most_bytes and self._letters):
                dropped.append(self._letters.popleft())
                self._bytes -= dropped[-1][1]
            self._counts[letter.reason] += 1
            total = self._counts.total()
        del dropped
        if total <= _LOGGED:
            _log.warning("dead letter: %s", letter)
        elif str(total).rstrip("0") == "1":
            _log.warning("%d dead letters by now; the latest: %s", total, letter)

    def after_fork_in_child(self) -> None:
        """Replace the lock in a forked process, where its holder does not exist."""
        self._lock = new_lock(Rank.RECORDS)

    def __iter__(self) -> Iterator[DeadLetter]:
        with self._lock:
            return iter([letter for letter, _ in self._letters])

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


def _size(message: Message) -> int:
    """Return about how many bytes a message holds. It looks at the first objects only, so the time is bounded."""
    total = 0
    pending: list[object] = [message]
    for _ in range(_LOOKED_AT):
        if not pending:
            break
        value = pending.pop()
        total += sys.getsizeof(value, 64)
        if isinstance(value, Message):
            pending.extend(getattr(value, name, None) for name in value.__struct_fields__)
        elif type(value) in (tuple, list, set, frozenset):
            pending.extend(itertools.islice(value, _LOOKED_AT))  # type: ignore[call-overload] # it is one of these
        elif type(value) is dict:
            pending.extend(itertools.islice(itertools.chain(value.keys(), value.values()), _LOOKED_AT))
    return total
