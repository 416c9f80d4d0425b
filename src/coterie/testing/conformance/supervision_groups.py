"""Supervision groups: strategies, escalation, and watchers."""

from __future__ import annotations

import pytest

from coterie import (
    Agent,
    AgentDown,
    AgentRef,
    AgentRestarted,
    HandlerFailed,
    Message,
    Request,
    Strategy,
    Supervision,
    on,
)
from coterie.testing.conformance.base import (
    Echo,
    Fail,
    Recorder,
    Suite,
)
from coterie.testing.conformance.lifecycle import Log
from coterie.testing.conformance.supervising import AT_ONCE, Failing
from coterie.testing.waiting import eventually, wait_until_idle


class Crew(Request[list[AgentRef]]):
    """Asks for an agent's children."""


class Captain(Agent):
    """Supervises a crew, by the policy in its arguments."""

    supervision = Supervision(Strategy.ONE_FOR_ALL, backoff=AT_ONCE)

    def __init__(self, log: Log, size: int = 3) -> None:
        self.crew = [self.context.spawn(Sailor, log, n) for n in range(size)]

    @on
    def list(self, message: Crew) -> list[AgentRef]:
        return self.crew


class RestCaptain(Captain):
    supervision = Supervision(Strategy.REST_FOR_ONE, backoff=AT_ONCE)


class StrictCaptain(Captain):
    supervision = Supervision(max_restarts=1, backoff=AT_ONCE)


class Sailor(Failing):
    def __init__(self, log: Log, n: int) -> None:
        super().__init__()
        self.crew_log = log
        self.n = n
        log.write(f"+{n}")

    def on_stop(self) -> None:
        self.crew_log.write(f"-{self.n}")


class Watch(Message):
    """Makes an agent watch another."""

    whom: AgentRef


class News(Request[list[str]]):
    """Asks for the lifecycle events that a watcher has received."""


class Watcher(Agent):
    def __init__(self) -> None:
        self.news: list[str] = []

    @on
    def watch(self, message: Watch) -> None:
        self.context.watch(message.whom)

    @on
    def heard(self, message: AgentRestarted | AgentDown) -> None:
        if isinstance(message, AgentRestarted):
            self.news.append(f"{message.agent.name} restarted {message.restarts}: {message.error}")
        else:
            self.news.append(f"{message.agent.name} {message.reason}: {message.error}")

    @on
    def read(self, message: News) -> list[str]:
        return self.news


class LoggingCaptain(Captain):
    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.log = log

    def on_stop(self) -> None:
        self.log.write("captain")


class SupervisionGroups(Suite):
    """Agents that are supervised together."""

    def test_one_for_one_restarts_only_the_one(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            captain = runtime.spawn(StrictCaptain, log)
            crew = captain.ask(Crew()).result(10)
            crew[1].ask(Echo(0)).result(10)
            with pytest.raises(HandlerFailed):
                crew[1].ask(Fail()).result(10)
            assert [sailor.ask(Echo(n)).result(10) for n, sailor in enumerate(crew)] == [0, 1, 2]
            assert log.lines.count("+1") == 2
            assert log.lines.count("+0") == log.lines.count("+2") == 1

    def test_one_for_all_restarts_all_in_the_order_of_their_start(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            crew = runtime.spawn(Captain, log).ask(Crew()).result(10)
            for sailor in crew:
                sailor.ask(Echo(0)).result(10)
            with pytest.raises(HandlerFailed):
                crew[1].ask(Fail()).result(10)
            eventually(lambda: len(log.lines) == 9)
            assert sorted(log.lines[3:6]) == ["-0", "-1", "-2"]
            assert log.lines[6:] == ["+0", "+1", "+2"]
            assert [sailor.ask(Echo(n)).result(10) for n, sailor in enumerate(crew)] == [0, 1, 2]

    def test_rest_for_one_restarts_those_that_came_after(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            crew = runtime.spawn(RestCaptain, log).ask(Crew()).result(10)
            for sailor in crew:
                sailor.ask(Echo(0)).result(10)
            with pytest.raises(HandlerFailed):
                crew[1].ask(Fail()).result(10)
            eventually(lambda: len(log.lines) == 7)
            assert sorted(log.lines[3:5]) == ["-1", "-2"]
            assert log.lines[5:] == ["+1", "+2"]
            assert [sailor.ask(Echo(n)).result(10) for n, sailor in enumerate(crew)] == [0, 1, 2]

    def test_too_many_failures_of_a_child_become_its_parents(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            captain = runtime.spawn(StrictCaptain, log, supervision=Supervision(backoff=AT_ONCE))
            crew = captain.ask(Crew()).result(10)
            for _ in range(2):
                with pytest.raises(HandlerFailed):
                    crew[0].ask(Fail()).result(10)
            eventually(lambda: runtime.health()[captain.name].restarts == 1)
            assert "RestartsExhausted" in runtime.health()[captain.name].last_error
            fresh = captain.ask(Crew()).result(10)
            assert not any(sailor.is_alive for sailor in crew)
            assert [sailor.ask(Echo(n)).result(10) for n, sailor in enumerate(fresh)] == [0, 1, 2]

    def test_children_stop_before_their_parent(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            captain = runtime.spawn(LoggingCaptain, log)
            for sailor in captain.ask(Crew()).result(10):
                sailor.ask(Echo(0)).result(10)  # so that all have started before the stop
            captain.stop().result(10)
            assert sorted(log.lines[3:6]) == ["-0", "-1", "-2"]
            assert log.lines[6:] == ["captain"]
            assert runtime.agents() == []

    def test_watchers_hear_of_restarts_and_of_the_end(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, name="watched", supervision=Supervision(max_restarts=1, backoff=AT_ONCE))
            watcher = runtime.spawn(Watcher)
            watcher.tell(Watch(agent))
            watcher.tell(Watch(agent))
            watcher.ask(News()).result(10)
            wait_until_idle(runtime)
            for text in ("first", "second"):
                with pytest.raises(HandlerFailed):
                    agent.ask(Fail(text)).result(10)
            eventually(lambda: len(watcher.ask(News()).result(10)) == 2)
            assert watcher.ask(News()).result(10) == [
                f"{agent.name} restarted 1: ValueError: first",
                f"{agent.name} failed: ValueError: second",
            ]

    def test_a_watcher_of_an_ended_agent_is_notified_at_once(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="gone")
            agent.stop().result(10)
            watcher = runtime.spawn(Watcher)
            watcher.tell(Watch(agent))
            eventually(lambda: watcher.ask(News()).result(10) == [f"{agent.name} stopped: "])
