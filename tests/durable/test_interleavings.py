"""Activation against passivation against message: no message is lost, and no two activations run at once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from coterie.concurrency import Signal
from coterie.durable import Identity
from coterie.errors import CoterieError, RuntimeStopped
from coterie.kernel import Address
from coterie.messaging import MailboxPolicy, Message
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.entities.entity_endpoint import EntityEndpoint
from coterie.testing import Interleaver, ManualClock
from tests.messaging.ends import Ends, Idle
from tests.runs import runs

pytestmark = pytest.mark.stress
ADDRESS = Address("node", "kind/key")


class Number(Message):
    n: int


class FakeCell:
    """An activation: `handle` takes its messages, and `end` ends it, with its messages left over or handled before."""

    hands_over = True
    passivating = True

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.ended = Signal()
        self.left = False
        self.mailbox = Mailbox(ADDRESS, owner.policy, ManualClock(), taker=Idle(), ends=Ends(refuse=self.refused))

    @property
    def local(self) -> FakeCell:
        return self

    def refused(self, envelope: Envelope) -> None:
        assert self.owner.endpoint.take_over(envelope, self)

    def handle(self) -> None:
        while (envelope := self.mailbox.take()) is not None:
            self.owner.handled.append(envelope.message.n)  # type: ignore[attr-defined] # all are numbers

    def end(self, *, drain: bool) -> None:
        if self.left:
            return
        self.left = True
        self.mailbox.close()
        if drain:
            self.handle()
        self.owner.endpoint.take_back(self.mailbox.empty())
        self.owner.running -= 1
        self.ended.set()


class Owner:
    """Stands for the durable agents of a runtime."""

    def __init__(self) -> None:
        self.policy = MailboxPolicy()
        self.cells: list[FakeCell] = []
        self.handled: list[int] = []
        self.refusals: list[int] = []
        self.running = 0
        self.closed = False
        self.endpoint: Any = EntityEndpoint(self, None, Identity("kind", "key"), ADDRESS)  # type: ignore[arg-type] # stands for them

    def mailbox(self, kind: object) -> MailboxPolicy:
        return self.policy

    def start(self, endpoint: Any) -> FakeCell:
        if self.closed:
            raise RuntimeStopped("node", "activates no more agents")
        self.running += 1
        assert self.running == 1, "two activations at once"
        cell = FakeCell(self)
        endpoint.begin(cell)
        self.cells.append(cell)
        return cell

    def ended(self, endpoint: Any, cell: FakeCell) -> None:
        pass

    def shuts_out(self, envelope: Envelope) -> bool:
        return False

    def refuse(self, envelope: Envelope, to: Address, error: CoterieError) -> None:
        self.refusals.append(envelope.message.n)  # type: ignore[attr-defined] # all are numbers

    def send(self, *numbers: int) -> None:
        for n in numbers:
            self.endpoint.deliver(Envelope(Number(n)))

    def passivate(self, *, drain: bool) -> None:
        for cell in self.cells[-1:]:
            cell.end(drain=drain)

    def work(self) -> None:
        for cell in self.cells[-1:]:
            if not cell.left:
                cell.handle()

    def finish(self) -> None:
        if self.cells and not self.cells[-1].left:
            assert self.endpoint._waiting == [], "a message waits, although an activation takes messages"
        while self.cells and (not self.cells[-1].left or len(self.cells[-1].mailbox)):
            self.work()
            self.passivate(drain=True)


def threads() -> Interleaver:
    traced: list[Callable[..., Any]] = [
        EntityEndpoint.deliver,
        EntityEndpoint.begin,
        EntityEndpoint.take_over,
        EntityEndpoint.take_back,
        EntityEndpoint._start,
        EntityEndpoint._hand_over,
        EntityEndpoint._ended,
        Mailbox.put,
        Mailbox._look_again,
        FakeCell.end,
        Owner.start,
    ]
    return Interleaver(traced)


@pytest.mark.parametrize("drain", [True, False])
def test_no_message_is_lost_between_activations_nor_handled_twice(drain: bool) -> None:
    interleaver = threads()
    for seed in runs(100):
        with interleaver.locks():
            owner = Owner()
            owner.send(0)

            def end(owner: Owner = owner) -> None:
                owner.passivate(drain=drain)
                owner.passivate(drain=drain)

            interleaver.run(
                [lambda owner=owner: owner.send(1, 2), lambda owner=owner: owner.send(11, 12), end],  # type: ignore[misc] # bound at once
                Random(seed),
            )
            owner.finish()
        assert sorted(owner.handled) == [0, 1, 2, 11, 12]
        assert owner.running == 0
        for first in (1, 11):
            assert owner.handled.index(first) < owner.handled.index(first + 1)


def test_every_message_is_handled_or_refused_when_the_runtime_stops_at_any_point() -> None:
    interleaver = threads()
    for seed in runs(100):
        with interleaver.locks():
            owner = Owner()
            owner.send(0)

            def stop(owner: Owner = owner) -> None:
                owner.closed = True

            interleaver.run(
                [lambda owner=owner: owner.send(1, 2), lambda owner=owner: owner.passivate(drain=True), stop],  # type: ignore[misc] # bound at once
                Random(seed),
            )
            owner.finish()
        assert sorted(owner.handled + owner.refusals) == [0, 1, 2]
        assert owner.running == 0


def test_a_message_on_its_way_to_an_ended_activation_reaches_the_one_that_runs() -> None:
    owner = Owner()
    owner.send(0)
    ended = owner.cells[0]
    owner.passivate(drain=True)
    owner.send(1)
    ended.mailbox.put(Envelope(Number(2)))
    owner.work()
    assert owner.handled == [0, 1, 2]
