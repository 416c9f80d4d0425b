"""Order, bands, bounds, times to live, and dead letters."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from coterie import AskTimeout, MailboxFull, MailboxPolicy, Message, MessagePriority, Unhandled
from coterie.errors import InvalidMessage
from coterie.messaging import Reason
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Block, Echo, Gate, Gatekeeper, Note, Notes, Recorder, Suite, Unknown
from coterie.testing.waiting import Together, eventually, run_together, wait_until_idle


class Plain(Message):
    """A message without a handler."""


class Delivery(Suite):
    """Messages arrive in order, within bounds, in time, or are accounted for."""

    def test_messages_of_one_sender_arrive_in_their_order(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            for n in range(1000):
                agent.tell(Note(n))
            assert agent.ask(Notes()).result(10) == list(range(1000))

    def test_order_holds_for_each_of_many_senders(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)

            def send(sender: int) -> None:
                for n in range(200):
                    agent.tell(Note(sender * 1000 + n))

            run_together(*(partial(send, sender) for sender in range(4)))
            notes = agent.ask(Notes()).result(10)
            assert len(notes) == 800
            for sender in range(4):
                assert [n % 1000 for n in notes if n // 1000 == sender] == list(range(200))

    def test_tells_and_asks_of_one_sender_keep_their_order(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            for n in range(50):
                agent.tell(Note(n))
                assert agent.ask(Notes()).result(10)[-1] == n

    def test_urgent_messages_overtake_and_keep_their_own_order(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(-1))
            gate.wait_for_entry()
            for n in range(3):
                agent.tell(Note(n))
                agent.tell(Note(10 + n), priority=MessagePriority.HIGH)
                agent.tell(Note(20 + n), priority=MessagePriority.SYSTEM)
            reply = agent.ask(Notes())
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 10)
            gate.open()
            assert reply.result(10) == [-1, 20, 21, 22, 10, 11, 12, 0, 1, 2]

    def test_a_message_is_not_handled_after_its_time_to_live(self) -> None:
        clock, gate = ManualClock(), Gate()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Note(1), ttl=1.0)
            agent.tell(Note(2), ttl=3.0)
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 2)
            clock.advance(2.0)
            gate.open()
            assert agent.ask(Notes()).result(10) == [0, 2]
            assert [(letter.message, letter.reason) for letter in runtime.dead_letters] == [(Note(1), Reason.EXPIRED)]
            assert runtime.metrics().totals.expired == 1

    def test_a_mailbox_that_rejects_refuses_messages_beyond_its_capacity(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, name="small", mailbox=MailboxPolicy.reject(2))
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Note(1))
            agent.tell(Note(2))
            if self.sender_sees_full:
                with pytest.raises(MailboxFull, match=r"small.*Note.*2"):
                    agent.tell(Note(3))
            else:
                agent.tell(Note(3))
            with pytest.raises(MailboxFull, match="small"):
                agent.ask(Echo(4)).result(10)
            gate.open()
            eventually(lambda: runtime.metrics().agents[agent.name].handled == 3)
            assert agent.ask(Notes()).result(10) == [0, 1, 2]
            assert runtime.metrics().totals.rejected == 2

    def test_a_mailbox_that_drops_makes_room_by_its_oldest(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.drop_oldest(2))
            agent.tell(Block(0))
            gate.wait_for_entry()
            oldest = agent.ask(Echo(1))
            for n in (2, 3):
                agent.tell(Note(n))
            with pytest.raises(MailboxFull, match="drop"):
                oldest.result(10)
            gate.open()
            eventually(lambda: runtime.metrics().agents[agent.name].handled == 3)
            assert agent.ask(Notes()).result(10) == [0, 2, 3]
            assert [(letter.message, letter.reason) for letter in runtime.dead_letters] == [(Echo(1), Reason.FULL)]

    def test_a_mailbox_that_is_to_be_waited_for_holds_its_senders_back(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.wait(2))
            agent.tell(Block(0))
            gate.wait_for_entry()

            def send() -> None:
                for n in range(1, 11):
                    agent.tell(Note(n))

            sender = Together(send)
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 2)
            assert sender.running or not self.sender_sees_full
            gate.open()
            sender.join()
            eventually(lambda: runtime.metrics().agents[agent.name].handled == 11)
            assert agent.ask(Notes()).result(10) == list(range(11))

    def test_the_wait_for_room_ends_when_its_time_is_over(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.wait(1, timeout=0.05))
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Note(1))
            if self.sender_sees_full:
                with pytest.raises(MailboxFull, match=r"no room came within 0\.05 s"):
                    agent.tell(Note(2))
            with pytest.raises(MailboxFull):
                agent.ask(Echo(3)).result(10)
            gate.open()
            eventually(lambda: runtime.metrics().agents[agent.name].handled == 2)
            assert agent.ask(Notes()).result(10) == [0, 1]

    def test_a_message_whose_time_is_over_before_there_is_room_has_expired(self) -> None:
        if not self.sender_sees_full:
            pytest.skip("its sender does not wait")
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.wait(1))
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Note(1))
            agent.tell(Note(2), ttl=0.01)
            with pytest.raises(AskTimeout):
                agent.ask(Echo(3), timeout=0.01).result(10)
            eventually(lambda: runtime.metrics().totals.expired == 2)
            assert {letter.reason for letter in runtime.dead_letters} == {Reason.EXPIRED}
            assert runtime.metrics().totals.rejected == 0
            gate.open()

    def test_offer_awaits_room_without_blocking_its_event_loop(self) -> None:
        gate = Gate()

        async def send() -> int:
            ticks = 0
            offers = asyncio.gather(*(agent.offer(Note(n)) for n in range(1, 6)))
            while not offers.done():
                ticks += 1
                if ticks == 5:
                    gate.open()
                await asyncio.sleep(0.001)
            await offers
            return ticks

        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.wait(1))
            agent.tell(Block(0))
            gate.wait_for_entry()
            ticks = asyncio.run(asyncio.wait_for(send(), 10))
            gate.open()
            assert ticks >= 5 or not self.sender_sees_full
            eventually(lambda: runtime.metrics().agents[agent.name].handled == 6)
            assert agent.ask(Notes()).result(10) == [0, 1, 2, 3, 4, 5]

    def test_an_ask_on_an_event_loop_waits_for_room_by_itself(self) -> None:
        gate = Gate()

        async def ask() -> list[int]:
            replies = [agent.ask(Echo(n)) for n in range(5)]
            gate.open()
            return [await reply for reply in replies]

        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy.wait(1))
            agent.tell(Block(0))
            gate.wait_for_entry()
            assert asyncio.run(asyncio.wait_for(ask(), 10)) == [0, 1, 2, 3, 4]

    def test_a_message_without_a_handler_becomes_a_dead_letter(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="recorder")
            agent.tell(Plain())
            with pytest.raises(Unhandled, match=r"recorder.*Unknown.*Note"):
                agent.ask(Unknown()).result(10)
            assert [(letter.message, letter.reason) for letter in runtime.dead_letters] == [
                (Plain(), Reason.UNHANDLED),
                (Unknown(), Reason.UNHANDLED),
            ]
            assert "recorder" in str(next(iter(runtime.dead_letters)))
            assert runtime.metrics().totals.dead == 2

    def test_a_value_that_is_not_a_message_is_refused_at_the_sender(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="recorder")
            with pytest.raises(InvalidMessage, match=r"int.*recorder"):
                agent.tell(1)  # type: ignore[arg-type] # on purpose
            with pytest.raises(InvalidMessage, match=r"class Note.*recorder"):
                agent.ask(Note)  # type: ignore[arg-type] # on purpose
            assert runtime.metrics().totals.sent == 0

    def test_every_message_is_counted_once(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            for n in range(10):
                agent.tell(Note(n))
            agent.tell(Plain())
            agent.ask(Echo(1)).result(10)
            wait_until_idle(runtime)
            agent.stop().result(10)
            agent.tell(Note(11))
            eventually(lambda: runtime.metrics().totals.sent == 13)
            totals = runtime.metrics().totals
            assert (totals.handled, totals.dead) == (11, 2)
