"""Topics, broadcasts, timers, services."""

from __future__ import annotations

import pytest

from coterie import AGENTS, Agent, AgentDown, AgentRestarted, Backoff, Message, Request, Supervision, on
from coterie.errors import HandlerFailed
from coterie.runtime import AgentFailed
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Echo, Fail, Note, Notes, Recorder, Suite
from coterie.testing.waiting import eventually, wait_until_idle


class Subscribe(Request[int]):
    """Makes an agent subscribe to a topic, or leave it."""

    topic: str
    leave: bool = False


class Publish(Request[int]):
    """Makes an agent publish a note."""

    topic: str
    n: int


class Shout(Request[int]):
    """Makes an agent broadcast a note."""

    n: int


class Remind(Request[int]):
    """Makes an agent send itself a note later."""

    seconds: float
    n: int
    repeat: bool = False


class Stop(Message):
    """Makes an agent cancel its timers."""


class Tariff:
    """A service, which guards itself by never changing."""

    price = 3


class Bargain(Tariff):
    price = 2


class Price(Request[int]):
    """Asks for a price."""


class Subscriber(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.reminders: list[object] = []

    @on
    def subscribe(self, message: Subscribe) -> int:
        if message.leave:
            self.context.unsubscribe(message.topic)
        else:
            self.context.subscribe(message.topic)
        return 1

    @on
    def publish(self, message: Publish) -> int:
        return self.context.publish(message.topic, Note(message.n))

    @on
    def shout(self, message: Shout) -> int:
        return self.context.runtime.broadcast(Note(message.n))

    @on
    def remind(self, message: Remind) -> int:
        plan = self.context.every if message.repeat else self.context.after
        self.reminder = plan(message.seconds, Note(message.n))
        return 1

    @on
    def stop(self, message: Stop) -> None:
        self.reminder.cancel()

    @on
    def price(self, message: Price) -> int:
        return self.context.use(Tariff).price


class NewsDesk(Agent):
    def __init__(self) -> None:
        self.news: list[str] = []
        self.context.subscribe(AGENTS)

    @on
    def failed(self, message: AgentFailed) -> None:
        self.news.append(f"{message.agent.name} failed on {message.message}: {message.error}")

    @on
    def other(self, message: AgentRestarted | AgentDown) -> None:
        self.news.append(f"{message.agent.name} {type(message).__name__}")

    @on
    def read(self, message: Echo) -> int:
        return len(self.news)

    @on
    def lines(self, message: Lines) -> list[str]:
        return self.news


class Publishing(Suite):
    """Topics, broadcasts, timers, services and lifecycle events."""

    def test_published_messages_reach_the_subscribers(self) -> None:
        with self.runtime() as runtime:
            a, b, c = (runtime.spawn(Subscriber) for _ in range(3))
            for agent in (a, b):
                agent.ask(Subscribe("prices")).result(10)
            assert runtime.publish("prices", Note(1)) == 2
            assert c.ask(Publish("prices", 2)).result(10) == 2
            a.ask(Subscribe("prices", leave=True)).result(10)
            assert runtime.publish("prices", Note(3)) == 1
            assert runtime.publish("weather", Note(4)) == 0
            wait_until_idle(runtime)
            assert [agent.ask(Notes()).result(10) for agent in (a, b, c)] == [[1, 2], [1, 2, 3], []]

    def test_an_agent_that_has_ended_is_no_longer_subscribed(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Subscriber)
            agent.ask(Subscribe("prices")).result(10)
            agent.stop().result(10)
            assert runtime.publish("prices", Note(1)) == 0
            assert len(runtime.dead_letters) == 0

    def test_a_broadcast_reaches_all_but_its_sender(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Subscriber) for _ in range(10)]
            assert runtime.broadcast(Note(1)) == 10
            assert agents[0].ask(Shout(2)).result(10) == 9
            wait_until_idle(runtime)
            assert agents[0].ask(Notes()).result(10) == [1]
            assert [agent.ask(Notes()).result(10) for agent in agents[1:]] == [[1, 2]] * 9

    def test_the_message_of_a_timer_comes_when_it_is_due(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Subscriber)
            agent.ask(Remind(5.0, 1)).result(10)
            agent.ask(Remind(2.0, 2)).result(10)
            clock.advance(1.9, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == []
            clock.advance(0.1, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == [2]
            clock.advance(10.0, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == [2, 1]

    def test_a_repeated_timer_keeps_its_rhythm_until_cancelled(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Subscriber)
            agent.ask(Remind(2.0, 7, repeat=True)).result(10)
            clock.advance(7.0, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == [7, 7, 7]
            agent.tell(Stop())
            agent.ask(Notes()).result(10)
            clock.advance(10.0, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == [7, 7, 7]

    def test_timers_end_with_the_incarnation_that_set_them(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock, ask_timeout=None) as runtime:
            agent = runtime.spawn(Subscriber, supervision=Supervision(backoff=Backoff(0.0, maximum=0.0)))
            agent.ask(Remind(2.0, 1)).result(10)
            with pytest.raises(HandlerFailed):
                agent.ask(Fail()).result(10)

            def restarted() -> bool:
                clock.advance(0.0)
                return runtime.health()[agent.name].restarts == 1

            eventually(restarted)
            clock.advance(10.0, lambda: wait_until_idle(runtime))
            assert agent.ask(Notes()).result(10) == []

    def test_agents_find_provided_services_by_type(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Subscriber, supervision=Supervision(backoff=Backoff(0.0, maximum=0.0)))
            with pytest.raises(HandlerFailed, match=r"no Tariff was provided \(there is: nothing\)"):
                agent.ask(Price()).result(10)
            runtime.provide(Bargain())
            assert agent.ask(Price()).result(10) == 2
            runtime.provide(Tariff(), Tariff)
            assert agent.ask(Price()).result(10) == 3

    def test_lifecycle_events_are_published(self) -> None:
        with self.runtime() as runtime:
            desk = runtime.spawn(NewsDesk)
            desk.ask(Echo(0)).result(10)
            agent = runtime.spawn(Recorder, name="star", supervision=Supervision(backoff=Backoff(0.0, maximum=0.0)))
            with pytest.raises(HandlerFailed):
                agent.ask(Fail("badly")).result(10)
            agent.ask(Echo(1)).result(10)
            agent.stop().result(10)
            eventually(lambda: desk.ask(Echo(0)).result(10) == 3)
            assert desk.ask(Lines()).result(10) == [
                f"{agent.name} failed on Fail: ValueError: badly",
                f"{agent.name} AgentRestarted",
                f"{agent.name} AgentDown",
            ]


class Lines(Request[list[str]]):
    """Asks for all lifecycle events."""
