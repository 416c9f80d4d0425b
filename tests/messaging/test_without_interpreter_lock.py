"""The fast paths that rely on the interpreter lock are not taken without it."""

from __future__ import annotations

import sys

import pytest

from coterie.concurrency import start_thread
from coterie.messaging import Message, Request
from coterie.messaging import mailbox as room
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime import Agent, Runtime, on


class Note(Message):
    pass


class Count(Request[int]):
    pass


class Counter(Agent):
    def __init__(self) -> None:
        self.count = 0

    @on
    def note(self, message: Note) -> None:
        self.count += 1

    @on
    def total(self, message: Count) -> int:
        return self.count


def test_a_mailbox_takes_every_message_under_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LOCK_FREE", False)
    careful: list[object] = []
    put = room.Mailbox._put_carefully

    def counting(self: room.Mailbox, envelope: Envelope) -> PendingPut | None:
        careful.append(envelope)
        return put(self, envelope)

    monkeypatch.setattr(room.Mailbox, "_put_carefully", counting)
    with Runtime() as runtime:
        counter = runtime.spawn(Counter)
        threads = [start_thread(lambda: [counter.tell(Note()) for _ in range(50)], f"sender-{n}") for n in range(4)]
        for thread in threads:
            thread.join()
        assert counter.ask(Count()).result(20) == 200
    assert len(careful) >= 201


def test_the_interpreter_is_asked_for_its_lock() -> None:
    assert getattr(sys, "_is_gil_enabled", lambda: True)() is room._LOCK_FREE
