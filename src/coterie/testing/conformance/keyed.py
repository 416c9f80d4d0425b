"""The suite of the runtime over durable agents. Where their promise differs from that of an ordinary agent, it is tested here."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from coterie import HandlerFailed, MailboxPolicy, Runtime, RuntimeStopped, Supervision
from coterie.errors import AgentStopped, DefinitionError, InvalidKey
from coterie.testing.conformance.base import Ask, Block, Echo, Fail, Gate, Gatekeeper, Note, Notes, Recorder
from coterie.testing.conformance.delivery import Plain
from coterie.testing.conformance.keyed_agents import KeyedRuntime, Stateless
from coterie.testing.conformance.lifecycle import BadEnd, BornDead, Broken, StopSelf, Suicidal
from coterie.testing.conformance.observing import StallDesk
from coterie.testing.conformance.publishing import Lines, NewsDesk, Subscribe, Subscriber
from coterie.testing.conformance.runtime import RuntimeConformance
from coterie.testing.conformance.stopping import Landlord
from coterie.testing.conformance.streaming_agents import Count, Held, Overlapping, Source
from coterie.testing.conformance.supervising import AT_ONCE, Failing, Forgetful, Interleaving
from coterie.testing.conformance.supervision_groups import News, Watch, Watcher
from coterie.testing.conformance.turns import Background, Busy
from coterie.testing.conformance.waiting import Flood, Link
from coterie.testing.waiting import Together, eventually, wait_until_idle


class Keyed(KeyedRuntime):
    """The runtime of the suite. The agents that only watch others are ordinary ones."""

    ordinary = (NewsDesk, StallDesk, Landlord, Watcher)


class KeyedConformance(RuntimeConformance):
    """The promises of the runtime to durable agents. Override `runtime` as in `RuntimeConformance`, and call it."""

    @pytest.fixture(autouse=True)
    def stores(self, tmp_path: Path) -> None:
        """Give each runtime a store of its own."""
        self._stores = (str(tmp_path / f"{number}.db") for number in itertools.count())

    def runtime(self, **options: Any) -> Runtime:
        """Return a new runtime."""
        return Keyed(store=next(self._stores), **options)

    # One message at a time: a handler that interleaves is refused.

    def test_an_interleaving_handler_may_be_asked_back(self) -> None:
        with self.runtime() as runtime, pytest.raises(DefinitionError, match="interleaves"):
            runtime.durable.register(type("Stored", (Stateless, Link), {}))

    def test_interleaving_handlers_overlap_at_their_awaits(self) -> None:
        with self.runtime() as runtime, pytest.raises(DefinitionError, match="interleaves"):
            runtime.durable.register(type("Stored", (Stateless, Busy), {}))

    def test_others_are_handled_while_an_interleaving_handler_awaits(self) -> None:
        """Replaced by the test before: there are no such handlers."""

    def test_a_failure_ends_the_other_handlers_and_tasks_of_the_agent(self) -> None:
        with self.runtime() as runtime, pytest.raises(DefinitionError, match="interleaves"):
            runtime.durable.register(type("Stored", (Stateless, Interleaving), {}))

    def test_an_interleaving_handler_of_a_stream_lets_others_be_handled(self) -> None:
        with self.runtime() as runtime, pytest.raises(DefinitionError, match="interleaves"):
            runtime.durable.register(type("Stored", (Stateless, Overlapping), {}))

    def test_a_stream_ends_when_its_agent_fails_over_another_message(self) -> None:
        """Replaced by the test before: nothing else is handled meanwhile."""

    # A message to itself is stored, and needs no room in the mailbox.

    def test_an_agent_that_fills_its_own_mailbox_gets_an_error_at_once(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Link, mailbox=MailboxPolicy.wait(3, timeout=None))
            assert agent.ask(Flood(agent)).result(10) == 1
            eventually(lambda: runtime.metrics().totals.handled == 11)

    # The end of an activation is not the end of the agent.

    def test_a_background_task_dies_with_its_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            agent.ask(Background(600.0)).result(10)
            agent.stop().result(5)
            assert runtime.durable.active == 0
            assert agent.ask(Echo(1)).result(10) == 1

    def test_an_agent_that_has_ended_is_no_longer_subscribed(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Subscriber)
            agent.ask(Subscribe("prices")).result(10)
            agent.stop().result(10)
            assert runtime.publish("prices", Note(1)) == 1
            assert agent.ask(Notes()).result(10) == [1]

    def test_lifecycle_events_are_published(self) -> None:
        with self.runtime() as runtime:
            desk = runtime.spawn(NewsDesk)
            desk.ask(Echo(0)).result(10)
            agent = runtime.spawn(Recorder, supervision=Supervision(backoff=AT_ONCE))
            with pytest.raises(HandlerFailed):
                agent.ask(Fail("badly")).result(10)
            agent.ask(Echo(1)).result(10)
            agent.stop().result(10)
            assert desk.ask(Lines()).result(10) == [
                f"{agent.name} failed on Fail: ValueError: badly",
                f"{agent.name} AgentRestarted",
            ]

    def test_an_agent_can_stop_itself_more_than_once(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Suicidal)
            agent.tell(StopSelf())
            eventually(lambda: not runtime.durable.active)
            assert agent.ask(Echo(1)).result(10) == 1

    def test_an_agent_can_stop_itself_before_its_first_message(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(BornDead)
            eventually(lambda: not runtime.durable.active)
            assert agent.ask(Echo(1)).result(10) == 1

    def test_an_agent_restarts_nothing_when_its_last_hook_raises(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(BadEnd)
            agent.stop().result(10)
            assert runtime.durable.active == 0
            assert agent.is_alive
        assert not agent.is_alive

    def test_a_stopped_agent_handles_queued_messages_and_no_later_ones(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(0))
            gate.wait_for_entry()
            queued = [agent.ask(Notes()) for _ in range(3)]
            stopped = agent.stop()
            later = agent.ask(Notes())
            gate.open()
            assert [reply.result(10) for reply in queued] == [[0]] * 3
            stopped.result(10)
            assert later.result(10) == [0]

    def test_a_stop_without_draining_makes_dead_letters_of_the_queue(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(0))
            gate.wait_for_entry()
            queued = [agent.ask(Echo(n)) for n in range(3)]
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 3)
            agent.stop(drain=False)
            gate.open()
            assert [reply.result(10) for reply in queued] == [0, 1, 2]
            assert len(runtime.dead_letters) == 0
            wait_until_idle(runtime)
            assert runtime.metrics().totals.dead == 0

    def test_a_message_after_the_stop_becomes_a_dead_letter_and_ends_an_ask(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            agent.stop().result(10)
            agent.tell(Note(1))
            assert agent.ask(Notes()).result(10) == [1]

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
            eventually(lambda: runtime.metrics().totals.handled == 12)
            totals = runtime.metrics().totals
            assert (totals.sent, totals.dead) == (13, 1)

    def test_errors_of_an_ask_fail_the_message_and_not_the_asking_agent(self) -> None:
        with self.runtime() as runtime:
            broken, asker = runtime.spawn(Broken, "gone"), runtime.spawn(Recorder)
            asker.tell(Note(1))
            with pytest.raises(HandlerFailed, match="AgentStopped"):
                asker.ask(Ask(broken)).result(10)
            assert asker.ask(Notes()).result(10) == [1]
            assert runtime.health()[asker.name].restarts == 0

    def test_a_watcher_of_an_ended_agent_is_notified_at_once(self) -> None:
        with self.runtime() as runtime:
            agent, watcher = runtime.spawn(Recorder), runtime.spawn(Watcher)
            agent.stop().result(10)
            watcher.tell(Watch(agent))
            assert agent.ask(Echo(1)).result(10) == 1
            assert watcher.ask(News()).result(10) == []

    def test_outsiders_are_refused_from_the_moment_of_the_stop(self) -> None:
        gate = Gate()
        runtime = self.runtime()
        agent = runtime.spawn(Gatekeeper, gate)
        agent.tell(Block(0))
        gate.wait_for_entry()
        stopper = Together(runtime.stop)
        eventually(lambda: isinstance(agent.ask(Echo(1)).exception(), RuntimeStopped))
        gate.open()
        stopper.join()
        agent.tell(Note(1))
        assert Note(1) in [letter.message for letter in runtime.dead_letters]
        with pytest.raises(AgentStopped):
            agent.ask(Echo(1)).result(10)

    def test_a_stopped_agent_streams_nothing(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            agent.stop().result(10)
            assert list(agent.stream(Count(3))) == [0, 1, 2]

    def test_a_queued_request_for_a_stream_ends_with_its_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            numbers = iter(agent.stream(Held()))
            assert next(numbers) == 0
            queued = agent.stream(Count(3))
            eventually(lambda: runtime.metrics().totals.queued == 1)
            agent.stop(drain=False)
            assert list(queued) == [0, 1, 2]

    # A failure leaves the stored state.

    def test_a_handler_that_raises_fails_its_agent_which_is_rebuilt(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Note(1))
            with pytest.raises(HandlerFailed):
                agent.ask(Fail()).result(10)
            assert agent.ask(Notes()).result(10) == [1]
            health = runtime.health()[agent.name]
            assert (health.restarts, health.failed, health.last_error) == (1, 1, "ValueError: as told")

    def test_an_agent_keeps_its_address_and_its_mailbox_over_a_restart(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Fail())
            queued = [agent.ask(Echo(n)) for n in range(3)]
            gate.open()
            assert [reply.result(10) for reply in queued] == [0, 1, 2]
            assert agent.ask(Notes()).result(10) == [0]

    def test_an_agent_is_not_restarted_more_often_than_permitted(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(max_restarts=2, backoff=AT_ONCE))
            watcher = runtime.spawn(Watcher)
            watcher.tell(Watch(agent))
            watcher.ask(News()).result(10)
            for _ in range(3):
                with pytest.raises(HandlerFailed):
                    agent.ask(Fail()).result(10)
            eventually(lambda: len(watcher.ask(News()).result(10)) == 3)
            assert watcher.ask(News()).result(10)[-1] == f"{agent.name} failed: ValueError: as told"
            assert agent.ask(Echo(1)).result(10) == 1

    def test_a_snapshot_that_raises_fails_the_agent_with_the_reason(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Forgetful)
            with pytest.raises(HandlerFailed, match="OSError: no memory"):
                agent.ask(Echo(1)).result(10)

    def test_a_constructor_that_raises_ends_the_agent_with_the_reason(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Broken, "no such thing")
            for _ in range(2):
                with pytest.raises(AgentStopped, match="LookupError: no such thing"):
                    agent.ask(Echo(1)).result(10)

    # Keys, which need not be unique among classes, instead of names.

    def test_a_value_that_is_not_an_agent_class_is_refused(self) -> None:
        with self.runtime() as runtime, pytest.raises(DefinitionError, match="not an agent class"):
            runtime.entity(int, "1")  # type: ignore[arg-type] # on purpose

    def test_a_name_belongs_to_one_living_agent(self) -> None:
        with self.runtime() as runtime:
            one, other = runtime.spawn(Recorder, name="one"), runtime.spawn(Recorder, name="one")
            assert one != other
            assert runtime.reference(one.address) == one

    def test_agents_without_a_name_get_one_that_is_free(self) -> None:
        with self.runtime() as runtime:
            names = [runtime.spawn(Recorder).name for _ in range(3)]
            assert len(set(names)) == 3

    def test_names_that_cannot_be_addressed_are_refused(self) -> None:
        with self.runtime() as runtime:
            with pytest.raises(InvalidKey):
                runtime.spawn(Recorder, name="")
            for name in ("a#b", "a\nb", "a/b"):
                agent = runtime.spawn(Recorder, name=name)
                assert runtime.reference(str(agent.address)).ask(Echo(1)).result(10) == 1

    def test_agents_are_found_by_name_and_listed(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Recorder, name=name) for name in "abc"]
            assert runtime.find(agents[1].name) == agents[1]
            assert runtime.agents() == agents
            agents[0].stop().result(10)
            assert runtime.agents() == agents[1:]
            assert runtime.find(agents[0].name) is None
