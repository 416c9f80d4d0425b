"""Cases of health, counts, logs, pausing and inspection."""

from __future__ import annotations

import logging

import pytest

from coterie import AGENTS, Agent, Request, Supervision, UnknownAgent, on
from coterie.errors import HandlerFailed
from coterie.runtime import AgentRecovered, AgentStalled
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Block, Echo, Fail, Gate, Gatekeeper, Note, Notes, Recorder, Sleep, Suite
from coterie.testing.waiting import eventually, wait_until_idle


class Say(Request[int]):
    """Makes an agent write to its log."""

    text: str


class Talker(Recorder):
    @on
    def say(self, message: Say) -> int:
        self.context.log.info("said %s", message.text, loudness=3)
        logging.getLogger("somebody.else").info("a library speaks")
        return 1


class StallDesk(Agent):
    def __init__(self) -> None:
        self.stalls: list[str] = []
        self.context.subscribe(AGENTS)

    @on
    def stalled(self, message: AgentStalled) -> None:
        assert message.seconds >= 2.0
        self.stalls.append(f"{message.agent.name} stalled" if "wait" in message.stack else "no stack")

    @on
    def recovered(self, message: AgentRecovered) -> None:
        self.stalls.append(f"{message.agent.name} recovered")

    @on
    def count(self, message: Echo) -> int:
        return len(self.stalls)

    @on
    def read(self, message: Stalls) -> list[str]:
        return self.stalls


class Stalls(Request[list[str]]):
    """Asks for the recorded stalls."""


class Observing(Suite):
    """Health, metrics, inspection and logs."""

    def test_health_names_the_state_of_every_agent(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            idle = runtime.spawn(Recorder, name="idle")
            waiting = runtime.spawn(Recorder, name="waiting")
            busy = runtime.spawn(Gatekeeper, gate, name="busy")
            idle.ask(Echo(1)).result(10)
            slow = waiting.ask(Sleep())
            busy.tell(Block(0))
            gate.wait_for_entry()
            eventually(lambda: runtime.health()[waiting.name].state == "waiting")
            assert {name: health.state for name, health in runtime.health().items()} == {
                idle.name: "idle",
                waiting.name: "waiting",
                busy.name: "busy",
            }
            assert runtime.health()[idle.name].handled == 1
            gate.open()
            slow.cancel()

    def test_an_agent_that_holds_its_thread_too_long_is_stalled_and_shows_its_stack(self) -> None:
        clock, gate = ManualClock(), Gate()
        with self.runtime(clock=clock, stall_after=2.0) as runtime:
            desk = runtime.spawn(StallDesk)
            desk.ask(Echo(0)).result(10)
            agent = runtime.spawn(Gatekeeper, gate, name="stuck")
            agent.tell(Block(0))
            gate.wait_for_entry()
            clock.advance(1.9)
            assert runtime.health()[agent.name].state == "busy"
            clock.advance(2.0)
            health = runtime.health()[agent.name]
            assert health.state == "stalled"
            assert health.stalled_for >= 2.0
            assert "self.gate.wait()" in health.stack
            assert health.heartbeat >= 3.0
            gate.open()
            eventually(lambda: agent.ask(Notes()).result(10) == [0])
            wait_until_idle(runtime)
            clock.advance(1.0)
            assert runtime.health()[agent.name].state == "idle"
            eventually(lambda: desk.ask(Echo(0)).result(10) == 2)
            assert desk.ask(Stalls()).result(10) == [f"{agent.name} stalled", f"{agent.name} recovered"]

    def test_an_agent_that_awaits_is_never_stalled(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock, stall_after=2.0, ask_timeout=None) as runtime:
            agent = runtime.spawn(Recorder)
            slow = agent.ask(Sleep())
            eventually(lambda: runtime.health()[agent.name].state == "waiting")
            wait_until_idle(runtime)
            clock.advance(20.0)
            assert runtime.health()[agent.name].state == "waiting"
            slow.cancel()

    def test_metrics_count_messages_by_their_outcome(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="counted", supervision=Supervision(backoff=0.0))
            for n in range(40):
                agent.ask(Echo(n)).result(10)
            with pytest.raises(HandlerFailed):
                agent.ask(Fail()).result(10)
            agent.ask(Echo(0)).result(10)
            metrics = runtime.metrics()
            counted = metrics.agents[agent.name]
            assert (counted.sent, counted.handled, counted.failed, counted.restarts) == (42, 41, 1, 1)
            assert counted.latencies is not None
            assert counted.latencies.samples >= 2
            assert counted.latencies.wait.p99 >= counted.latencies.wait.median >= 0
            assert metrics.spawned == 1
            assert metrics.threads >= 1

    def test_counts_outlive_their_agents(self) -> None:
        with self.runtime() as runtime:
            for n in range(5):
                agent = runtime.spawn(Recorder)
                agent.ask(Echo(n)).result(10)
                agent.stop().result(10)
            metrics = runtime.metrics()
            assert (metrics.totals.handled, metrics.spawned, metrics.agents) == (5, 5, {})

    def test_a_paused_agent_takes_no_message_until_it_is_resumed(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="paused")
            agent.ask(Echo(0)).result(10)
            assert runtime.pause(agent)
            reply = agent.ask(Echo(1))
            settle_queued(runtime, agent.name, 1)
            assert not reply.done
            assert runtime.health()[agent.name].paused
            runtime.resume(agent.name)
            assert reply.result(10) == 1
            assert not runtime.health()[agent.name].paused

    def test_pause_waits_for_the_message_in_hand(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(1))
            gate.wait_for_entry()
            assert not runtime.pause(agent, timeout=0.05)
            gate.open()
            assert runtime.pause(agent)
            assert runtime.inspect(agent).attributes == {"notes": "[1]", "gate": runtime.inspect(agent).attributes["gate"]}  # type: ignore[index]
            runtime.resume(agent)

    def test_an_agent_can_be_looked_into(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="open")
            agent.tell(Note(1))
            agent.ask(Notes()).result(10)
            runtime.pause(agent)
            agent.tell(Note(2))
            settle_queued(runtime, agent.name, 1)
            inside = runtime.inspect(agent.name)
            assert inside.attributes == {"notes": "[1]"}
            assert inside.queued == ["Note(n=2)"]
            assert inside.handling == []
            assert inside.health.paused
            runtime.resume(agent)

    def test_a_stuck_agent_is_looked_into_from_outside(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(3))
            gate.wait_for_entry()
            inside = runtime.inspect(agent, timeout=0.02)
            assert inside.attributes is None
            assert inside.handling == ["Block(n=3)"]
            assert "self.gate.wait()" in inside.stack
            gate.open()

    def test_only_agents_that_live_here_can_be_looked_into(self) -> None:
        with self.runtime() as runtime:
            with pytest.raises(UnknownAgent, match="nobody"):
                runtime.inspect("nobody")
            agent = runtime.spawn(Recorder)
            agent.stop().result(10)
            with pytest.raises(UnknownAgent):
                runtime.pause(agent)

    def test_logs_carry_the_name_of_the_agent(self, caplog: pytest.LogCaptureFixture) -> None:
        from coterie.runtime import AgentLogFilter  # noqa: PLC0415 - only this test needs it

        caplog.handler.addFilter(AgentLogFilter())
        try:
            with caplog.at_level(logging.INFO), self.runtime() as runtime:
                agent = runtime.spawn(Talker, name="100 % talker")
                agent.ask(Say("hello")).result(10)
        finally:
            caplog.handler.filters.clear()
        records = {record.name: record for record in caplog.records if record.levelno == logging.INFO}
        own, library = records["coterie.agents"], records["somebody.else"]
        assert own.getMessage() == f"{agent.name}: said hello"
        assert (own.agent, own.node, own.loudness) == (agent.name, runtime.node, 3)  # type: ignore[attr-defined]
        assert library.agent == agent.name  # type: ignore[attr-defined]


def settle_queued(runtime: object, name: str, queued: int) -> None:
    """Return once a number of messages is queued for an agent."""
    eventually(lambda: runtime.metrics().agents[name].queued == queued)  # type: ignore[attr-defined]
