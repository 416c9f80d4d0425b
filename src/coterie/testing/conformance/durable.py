"""The suite of durable agents: over any dispatcher, and any store."""

from __future__ import annotations

import threading

import pytest

from coterie import Agent, AgentRestarted, HandlerFailed, MailboxPolicy, Overflow, on
from coterie.concurrency import start_thread
from coterie.errors import KeyReused, StateRefused
from coterie.runtime import DurablePolicy
from coterie.testing import ManualClock
from coterie.testing.conformance.durable_agents import (
    Add,
    All,
    Break,
    Bump,
    CancelReminder,
    Count,
    Counter,
    Deposit,
    Deposited,
    Flood,
    Follow,
    Forward,
    Key,
    Ledger,
    RecordOther,
    RemindMe,
    Report,
    Reporter,
    Sequence,
    SnapshotLedger,
    Withdraw,
    Withdrawn,
)
from coterie.testing.conformance.durable_faults import DurableFaults
from coterie.testing.waiting import eventually


class DurableConformance(DurableFaults):
    """The promises of durable agents. Override `runtime`, and `store` for another database than SQLite."""

    # Activation.

    def test_a_message_activates_the_agent_of_a_key(self, store: str) -> None:
        with self.runtime(store) as runtime:
            one = runtime.entity(Counter, "a/ä #1")
            assert one == runtime.entity(Counter, "a/ä #1")
            assert runtime.durable.active == 0
            assert one.ask(Add(2)).result() == 2
            assert runtime.entity(Counter, "a/ä #1").ask(Add(3)).result() == 5
            assert one.ask(Key()).result() == "a/ä #1"
            assert runtime.entity(Counter, "other").ask(Count()).result() == 0
            assert runtime.durable.keys(Counter) == ["a/ä #1"]

    def test_the_state_survives_the_runtime(self, store: str) -> None:
        for expected in (1, 2, 3):
            with self.runtime(store) as runtime:
                assert runtime.entity(Counter, "a").ask(Add()).result() == expected

    def test_idle_agents_are_passivated(self, store: str) -> None:
        clock = ManualClock()
        with self.runtime(store, clock=clock, durable=DurablePolicy(idle=10)) as runtime:
            agent = runtime.entity(Counter, "a")
            assert agent.ask(Add()).result() == 1

            def passes() -> bool:
                clock.advance(5)
                return not runtime.durable.active

            eventually(passes)
            assert agent.is_alive
            assert agent.ask(Add()).result() == 2

    def test_no_more_than_the_most_are_active(self, store: str) -> None:
        with self.runtime(store, durable=DurablePolicy(most_active=5)) as runtime:
            for _ in range(3):
                for key in range(30):
                    runtime.entity(Counter, str(key)).ask(Add()).result()
            eventually(lambda: runtime.durable.active <= 6)
            assert [runtime.entity(Counter, str(key)).ask(Count()).result() for key in range(30)] == [3] * 30

    def test_no_message_is_lost_between_activations(self, store: str) -> None:
        with self.runtime(store, durable=DurablePolicy(most_active=1)) as runtime:

            def work() -> None:
                for number in range(40):
                    runtime.entity(Counter, str(number % 3)).tell(Bump(1))
                    if number % 7 == 0:
                        runtime.entity(Counter, str(number % 3)).stop()

            threads = [start_thread(work, "sender") for _ in range(4)]
            for thread in threads:
                thread.join()
            eventually(lambda: sum(runtime.entity(Counter, str(key)).ask(Count()).result() for key in range(3)) == 160)

    # Effects.

    @pytest.mark.parametrize("declared", [True, False])
    def test_a_failed_handler_leaves_no_trace(self, store: str, *, declared: bool) -> None:
        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            agent.ask(Add()).result()
            with pytest.raises(HandlerFailed):
                agent.ask(Break(declared, to="b")).result()
            assert agent.ask(Count()).result() == 1
            assert runtime.entity(Counter, "b").ask(Count()).result() == 0

    def test_messages_between_durable_agents_arrive_once(self, store: str) -> None:
        with self.runtime(store) as runtime:
            one, other = runtime.entity(Counter, "a"), runtime.entity(Counter, "b")
            for _ in range(20):
                one.ask(Forward("b", 1)).result()
            eventually(lambda: other.ask(Count()).result() == 20)
        with self.runtime(store) as runtime:
            assert runtime.entity(Counter, "b").ask(Count()).result() == 20

    @pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.REJECT])
    def test_many_messages_arrive_in_order_through_a_small_mailbox(self, store: str, overflow: Overflow) -> None:
        with self.runtime(store, mailbox=MailboxPolicy(capacity=120, overflow=overflow)) as runtime:
            for count in (250, 5):
                runtime.entity(Sequence, "a").ask(Flood("b", count)).result()
            heard = runtime.entity(Sequence, "b")
            eventually(lambda: heard.ask(All()).result() == [*range(250), *range(5)], timeout=30)

    def test_an_ordinary_agent_hears_only_of_stored_changes(self, store: str) -> None:
        heard: list[int] = []

        class Listener(Agent):
            @on
            def hear(self, message: Bump) -> None:
                heard.append(message.amount)

        with self.runtime(store) as runtime:
            listener = runtime.spawn(Listener)
            agent = runtime.entity(Reporter, "a")
            with pytest.raises(HandlerFailed):
                agent.ask(Report(listener, fails=True)).result()
            agent.ask(Report(listener)).result()
            eventually(lambda: heard == [1])

    def test_a_stored_message_is_delivered_by_the_next_runtime(self, store: str) -> None:
        clock = ManualClock()
        with self.runtime(store, clock=clock) as runtime:
            runtime.entity(Counter, "a").ask(RemindMe(60, 7)).result()
        clock.advance(100)
        with self.runtime(store, clock=clock) as runtime:
            runtime.durable.register(Counter)
            eventually(lambda: runtime.entity(Counter, "a").ask(Count()).result() == 7)

    def test_an_idempotency_key_makes_an_ask_repeatable(self, store: str) -> None:
        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            assert agent.ask(Add(), idempotency_key="k").result() == 1
            assert agent.ask(Add(), idempotency_key="k").result() == 1
            assert agent.ask(Add(), idempotency_key="l").result() == 2
            with pytest.raises(HandlerFailed) as caught:
                agent.ask(Add(5), idempotency_key="k").result()
            assert isinstance(caught.value.__cause__, KeyReused)
            with pytest.raises(HandlerFailed):
                agent.ask(Break(declared=True), idempotency_key="m").result()
        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            assert agent.ask(Add(), idempotency_key="k").result() == 1
            assert agent.ask(Count()).result() == 2

    # Events.

    def test_events_are_folded_and_kept(self, store: str) -> None:
        with self.runtime(store) as runtime:
            agent = runtime.entity(Ledger, "a")
            assert agent.ask(Deposit(10)).result() == 10
            assert agent.ask(Withdraw(3)).result() == 6
            with pytest.raises(HandlerFailed):
                agent.ask(Withdraw(1, fails=True)).result()
            with pytest.raises(HandlerFailed) as caught:
                agent.ask(RecordOther()).result()
            assert isinstance(caught.value.__cause__, StateRefused)
            assert agent.ask(Count()).result() == 6
        with self.runtime(store) as runtime:
            assert runtime.entity(Ledger, "a").ask(Count()).result() == 6
            assert list(runtime.history(Ledger, "a")) == [Deposited(10), Withdrawn(3), Withdrawn(1)]

    def test_snapshots_spare_the_folding_of_all_events(self, store: str) -> None:
        policy = DurablePolicy(snapshot_every=10)
        with self.runtime(store, durable=policy) as runtime:
            for _ in range(25):
                runtime.entity(SnapshotLedger, "a").ask(Deposit(1)).result()
        with self.runtime(store, durable=policy) as runtime:
            agent = runtime.entity(SnapshotLedger, "a")
            assert agent.ask(Count()).result() == 25
            assert (runtime.inspect(agent).attributes or {})["applied"] == "5"
            assert len(list(runtime.history(SnapshotLedger, "a"))) == 25

    # Reminders, topics, watching.

    def test_reminders_come_when_they_are_due(self, store: str) -> None:
        clock = ManualClock()
        with self.runtime(store, clock=clock) as runtime:
            agent = runtime.entity(Counter, "a")
            agent.ask(RemindMe(10, 1)).result()
            agent.ask(RemindMe(20, 100, "k")).result()
            agent.ask(RemindMe(30, 10, "k")).result()
            agent.ask(RemindMe(30, 1_000, "l")).result()
            agent.ask(CancelReminder("l")).result()
            clock.advance(11)
            eventually(lambda: agent.ask(Count()).result() == 1)
            clock.advance(10)
            assert agent.ask(Count()).result() == 1
            clock.advance(10)
            eventually(lambda: agent.ask(Count()).result() == 11)

    def test_subscriptions_outlive_activations(self, store: str) -> None:
        with self.runtime(store) as runtime:
            runtime.entity(Counter, "a").ask(Follow("news")).result()
        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            assert runtime.publish("news", Bump(5)) == 1
            eventually(lambda: agent.ask(Count()).result() == 5)
            agent.ask(Follow("news", on=False)).result()
            assert runtime.publish("news", Bump(5)) == 0

    def test_watchers_hear_of_failures_and_not_of_passivation(self, store: str) -> None:
        heard: list[object] = []
        ready = threading.Event()

        class Watcher(Agent):
            def on_start(self) -> None:
                self.context.watch(target)
                ready.set()

            @on
            def restarted(self, message: AgentRestarted) -> None:
                heard.append(message)

        with self.runtime(store) as runtime:
            target = runtime.entity(Counter, "a")
            runtime.spawn(Watcher)
            assert ready.wait(10)
            target.ask(Add()).result()
            target.stop().result()
            with pytest.raises(HandlerFailed):
                target.ask(Break()).result()
            eventually(lambda: len(heard) == 1)
            assert target.ask(Count()).result() == 1

    def test_pause_and_inspect_work(self, store: str) -> None:
        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            agent.ask(Add()).result()
            assert runtime.pause(agent)
            reply = agent.ask(Add())
            assert runtime.inspect(agent).queued
            runtime.resume(agent)
            assert reply.result() == 2
