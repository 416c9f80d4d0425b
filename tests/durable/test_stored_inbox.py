"""The stored messages of one agent: each is delivered once, however its sender and the store tell of it."""

from __future__ import annotations

from coterie.durable import Identity, StoredMessage
from coterie.runtime.entities.stored_inbox import StoredInbox


class Owner:
    """Stands for an endpoint: the store has `stored`, and the mailbox got `delivered`."""

    def __init__(self) -> None:
        self.stored: list[StoredMessage] = []
        self.delivered: list[int] = []
        self.inbox = StoredInbox(self)

    def due(self, limit: int) -> list[StoredMessage]:
        return self.stored[:limit]

    def put(self, message: StoredMessage) -> bool:
        self.delivered.append(message.number)
        return True

    def refill_soon(self, *, delayed: bool) -> None:
        assert not delayed
        self.inbox.refill()

    def store(self, number: int) -> StoredMessage:
        message = StoredMessage(number, Identity("kind", "a"), "m:M", b"", None, 2, 0.0, None, 0)
        self.stored.append(message)
        return message

    def handle(self, number: int) -> None:
        self.stored = [each for each in self.stored if each.number != number]
        self.inbox.finish(number)


def test_a_message_that_was_read_from_the_store_is_not_delivered_again_by_its_sender() -> None:
    owner = Owner()
    message = owner.store(1)
    owner.inbox.mark()
    owner.inbox.refill()
    owner.inbox.offer(message)
    owner.handle(1)
    owner.inbox.offer(message)
    assert owner.delivered == [1]


def test_a_message_of_a_lower_number_that_was_stored_later_is_delivered() -> None:
    owner = Owner()
    owner.store(2)
    owner.inbox.mark()
    owner.inbox.refill()
    owner.handle(2)
    owner.inbox.offer(owner.store(1))
    owner.handle(1)
    owner.inbox.offer(owner.store(3))
    assert owner.delivered == [2, 1, 3]
