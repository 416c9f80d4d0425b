"""The stash: messages that an agent has postponed."""

from __future__ import annotations

from typing import Protocol

from coterie.errors import MailboxFull, NotInAgent
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.dispatchers.base import AgentExecutor
from coterie.runtime.references.invocation import Invocation


class StashOwner(Protocol):
    """The agent whose messages these are."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """Its mailbox."""
        ...

    @property
    def executor(self) -> AgentExecutor:
        """The executor of its turns."""
        ...

    def now(self) -> float:
        """Return the runtime's monotonic time."""
        ...


class Stash:
    """The messages that an agent has postponed, each with its sender, its asker and its deadline.

    They count as queued; their maximum is the capacity of the mailbox. Only for the agent's thread; other threads may read the
    length.
    """

    __slots__ = ("_owner", "_postponed")

    def __init__(self, owner: StashOwner) -> None:
        self._owner = owner
        self._postponed: list[Envelope] | None = None

    def __len__(self) -> int:
        return 0 if self._postponed is None else len(self._postponed)

    def add(self, invocation: Invocation | None) -> None:
        """Postpone the message of a handler, whose result is then ignored. Raises `MailboxFull` and `NotInAgent`."""
        envelope = invocation.envelope if invocation is not None else None
        if invocation is None or envelope is None:
            raise NotInAgent("a message to postpone")
        capacity = self._owner.mailbox.policy.capacity
        if len(self) >= capacity:
            self._release_stale()
        if len(self) >= capacity:
            why = "all of them postponed; put them back by unstash_all"
            raise MailboxFull(self._owner.name, type(envelope.message).__qualname__, capacity, why)
        self._postponed = postponed = self._postponed or []
        postponed.append(envelope)
        invocation.envelope = None

    def _release_stale(self) -> None:
        """Put those back whose ask has ended or whose time is over: they end when the agent takes them."""
        now = self._owner.now()
        postponed = self.empty()
        stale = [each for each in postponed if _is_stale(each, now)]
        self._postponed = [each for each in postponed if not _is_stale(each, now)]
        for envelope in stale:
            self._owner.mailbox.put_back(envelope)

    def take_over(self, stuck: Stash) -> None:
        """Take the messages of another record of the agent."""
        self._postponed = stuck.empty()

    def discard(self, envelope: Envelope) -> None:
        """Forget a message, if it was postponed: its handler has raised."""
        if self._postponed:
            self._postponed = [each for each in self._postponed if each is not envelope]

    def put_back(self) -> None:
        """Put all messages back into the mailbox, in their order and before all others."""
        postponed = self.empty()
        for envelope in reversed(postponed):
            self._owner.mailbox.put_back(envelope)
        if postponed:
            self._owner.executor.wake()

    def empty(self) -> list[Envelope]:
        """Remove and return all messages."""
        postponed, self._postponed = self._postponed, None
        return postponed or []


def _is_stale(envelope: Envelope, now: float) -> bool:
    overdue = envelope.deadline is not None and envelope.deadline <= now
    return overdue or (envelope.reply is not None and envelope.reply.done)
