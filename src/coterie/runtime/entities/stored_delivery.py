"""The delivery of stored messages: of an outbox after its commit, of reminders when due, of both after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import Rank, Timer, new_lock
from coterie.durable import DurableStore, Identity, OutgoingMessage, StoredMessage
from coterie.errors import StorageError, describe
from coterie.errors.work import ThreadsHeld
from coterie.runtime.entities.durable_services import DurableServices
from coterie.runtime.entities.placement import DurablePlacement
from coterie.runtime.entities.stored_inbox import StoredInbox

_log = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds after which stored messages that found no place, or could not be read, are delivered again."""


class StoredRecipient(Protocol):
    """The recipient of stored messages."""

    @property
    def inbox(self) -> StoredInbox:
        """The stored messages for it."""
        ...


class StoredDelivery:
    """Delivers the stored messages of a runtime. Safe from any thread: `_lock` guards the planned timer.

    Reads run on the pool for blocking calls. A failed read is logged and tried again.
    """

    def __init__(
        self,
        services: DurableServices,
        store: DurableStore,
        recipient: Callable[[Identity], StoredRecipient | None],
        placement: DurablePlacement | None,
    ) -> None:
        self._is_here: Callable[[Identity], bool] = placement.is_here if placement is not None else lambda _: True
        self._nudge: Callable[[Identity], None] = placement.nudge if placement is not None else lambda _: None
        self._services = services
        self._store = store
        self._recipient = recipient
        self._lock = new_lock(Rank.ENTITIES)
        self._closed = False
        self._timer: Timer | None = None
        self._looked_at = services.clock.time()
        """The time up to which the store was looked through for due messages."""
        self._plan_next()

    def sent(self, messages: list[OutgoingMessage], numbers: list[int]) -> None:
        """Deliver the messages of a commit: now, or when they are due."""
        now = self._services.clock.time()
        for number, message in zip(numbers, messages, strict=True):
            if message.due > now:
                self._plan(message.due)
            elif not self._is_here(message.to):
                self._nudge(message.to)
            elif (recipient := self._recipient(message.to)) is not None:
                recipient.inbox.offer(
                    StoredMessage(
                        number=number,
                        to=message.to,
                        message=message.message,
                        body=message.body,
                        sender=message.sender,
                        priority=message.priority,
                        due=message.due,
                        expires=message.expires,
                        attempts=0,
                        context=message.context,
                    )
                )

    def deliver_to(self, identities: list[Identity]) -> None:
        """Deliver the stored messages for some agents, those of other nodes left out."""
        for identity in identities:
            recipient = self._recipient(identity) if self._is_here(identity) else None
            if recipient is not None:
                recipient.inbox.mark()
                self.refill(recipient)

    def refill(self, recipient: StoredRecipient, *, delayed: bool = False) -> None:
        """Deliver the stored messages for an agent soon; with `delayed` after a pause, because it just failed."""
        if delayed:
            self._later(_RETRY, lambda: self.refill(recipient))
            return

        def work() -> None:
            try:
                recipient.inbox.refill()
            except StorageError as error:
                if not self._closed:
                    _log.error("cannot read stored messages: %s", describe(error))
                    self.refill(recipient, delayed=True)

        self.run(work)

    def run(self, work: Callable[[], None]) -> None:
        """Call `work` on a thread that may block, unless the runtime ends."""
        if not self._closed:
            try:
                self._services.blocking.submit(work)
            except (RuntimeError, ThreadsHeld):
                # The runtime is ending: the next one delivers what is stored.
                _log.debug("ended before the stored messages were looked through")

    def close(self) -> None:
        """Stop the deliveries."""
        with self._lock:
            self._closed = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _plan_next(self) -> None:
        due = self._store.next_due(self._looked_at)
        if due is not None:
            self._plan(due)

    def _plan(self, due: float) -> None:
        """Look for due messages at a time, unless that is planned for an earlier one."""
        delay = max(0.0, due - self._services.clock.time())
        at = self._services.clock.monotonic() + delay
        with self._lock:
            old = self._timer
            if self._closed or (old is not None and old.when <= at):
                return
            self._timer = self._services.timers.call_at(at, lambda: self.run(self._deliver_due))
        if old is not None:
            old.cancel()

    def _deliver_due(self) -> None:
        with self._lock:
            self._timer = None
        now = self._services.clock.time()
        try:
            identities = self._store.recipients_between(self._looked_at, now)
            self._looked_at = now
            self._plan_next()
        except StorageError as error:
            if not self._closed:
                _log.error("cannot read the reminders: %s", describe(error))
                self._later(_RETRY, lambda: self.run(self._deliver_due))
            return
        self.deliver_to(identities)

    def _later(self, delay: float, work: Callable[[], None]) -> None:
        if not self._closed:
            self._services.timers.call_later(delay, work)
