"""Cases of failures: agents are rebuilt, or fail for good where a restart cannot help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coterie import (
    Agent,
    AgentRef,
    AgentStopped,
    Backoff,
    HandlerFailed,
    Request,
    Supervision,
    on,
)
from coterie.messaging import Reason
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import (
    Block,
    Echo,
    Fail,
    Gate,
    Gatekeeper,
    Note,
    Notes,
    Recorder,
    Refused,
    Sleep,
    Suite,
)
from coterie.testing.conformance.lifecycle import Log
from coterie.testing.waiting import eventually, wait_until_idle

AT_ONCE = Backoff(initial=0.0, maximum=0.0)


class Exit(Request[int]):
    """Makes a handler raise a `BaseException` that is not an `Exception`."""

    kind: str


class Refuse(Request[int]):
    """Makes a handler raise an error that it declares."""


class Poison(Request[int]):
    """Fails the agent as often as it is handled, up to a limit."""

    n: int = 0


class FailChild(Request[int]):
    """Makes a background task raise."""


class Failing(Recorder):
    def __init__(self, log: Log | None = None) -> None:
        super().__init__()
        self.log = log

    @on(raises=Refused)
    def refuse(self, message: Refuse) -> int:
        raise Refused("not today")

    @on
    def exit(self, message: Exit) -> int:
        raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}[message.kind](
            f"{message.kind} in a handler"
        )

    @on(attempts=3)
    def poison(self, message: Poison) -> int:
        if self.log is not None:
            self.log.write(f"tried {message.n}")
            if len(self.log.lines) > message.n > 0:
                return len(self.log.lines)
        raise ValueError("poison")

    @on
    def background(self, message: FailChild) -> int:
        async def fail() -> None:
            raise ValueError("in the background")

        self.context.create_task(fail())
        return 1


class AsyncExit(Agent):
    @on
    async def exit(self, message: Exit) -> int:
        await asyncio.sleep(0)
        if message.kind == "KeyboardInterrupt":
            raise KeyboardInterrupt("in a coroutine")
        raise SystemExit("in a coroutine")

    @on
    async def echo(self, message: Echo) -> int:
        return message.n


class Remembering(Recorder):
    """Keeps its notes over a failure."""

    def snapshot(self) -> Any:
        return self.notes

    def restore(self, state: Any) -> None:
        self.notes = state

    @on
    def note_and_fail(self, message: Poison) -> int:
        self.notes.append(message.n)
        raise ValueError("half done")


class Hooked(Recorder):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        log.write("constructed")

    def on_start(self) -> None:
        self.log.write("started")

    async def on_failure(self, error: BaseException) -> None:
        await asyncio.sleep(0)
        self.log.write(f"failed: {error}")

    def on_stop(self) -> None:
        self.log.write("stopped")


class SlowStarter(Recorder):
    """Fails to start as often as the log is short."""

    def __init__(self, log: Log, failures: int) -> None:
        super().__init__()
        self.log = log
        self.failures = failures

    async def on_start(self) -> None:
        self.log.write("tried to start")
        await asyncio.sleep(0)
        if len(self.log.lines) <= self.failures:
            raise ConnectionError("not there yet")


class Supervising(Suite):
    """Restarts."""

    def test_a_handler_that_raises_fails_its_agent_which_is_rebuilt(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Note(1))
            with pytest.raises(HandlerFailed):
                agent.ask(Fail()).result(10)
            assert agent.ask(Notes()).result(10) == []
            health = runtime.health()[agent.name]
            assert (health.restarts, health.failed, health.last_error) == (1, 1, "ValueError: as told")

    def test_an_agent_keeps_its_address_and_its_mailbox_over_a_restart(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Block(0))
            gate.wait_for_entry()
            agent.tell(Fail())
            for n in range(1, 4):
                agent.tell(Note(n))
            gate.open()
            assert agent.ask(Notes()).result(10) == [1, 2, 3]
            assert runtime.find(agent.name) == agent

    def test_only_the_snapshot_of_the_last_handled_message_survives(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Remembering, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Note(1))
            agent.tell(Note(2))
            with pytest.raises(HandlerFailed, match="half done"):
                agent.ask(Poison(3)).result(10)
            agent.tell(Note(4))
            assert agent.ask(Notes()).result(10) == [1, 2, 4]

    @pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
    def test_whatever_a_handler_raises_is_contained(self, kind: str) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(backoff=AT_ONCE))
            other = runtime.spawn(Recorder)
            with pytest.raises(HandlerFailed, match=f"{kind} in a handler"):
                agent.ask(Exit(kind)).result(10)
            assert agent.ask(Echo(1)).result(10) == 1
            assert other.ask(Echo(2)).result(10) == 2

    @pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
    def test_whatever_a_coroutine_raises_is_contained(self, kind: str) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(AsyncExit, supervision=Supervision(backoff=AT_ONCE))
            with pytest.raises(HandlerFailed, match=f"{kind}: in a coroutine"):
                agent.ask(Exit(kind)).result(10)
            assert agent.ask(Echo(1)).result(10) == 1

    def test_declared_errors_fail_the_message_and_not_the_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing)
            agent.tell(Note(1))
            with pytest.raises(HandlerFailed, match="Refused: not today"):
                agent.ask(Refuse()).result(10)
            assert agent.ask(Notes()).result(10) == [1]
            assert runtime.metrics().totals.failed == 1

    def test_the_failing_message_is_not_handled_again(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Hooked, log, supervision=Supervision(backoff=AT_ONCE))
            with pytest.raises(HandlerFailed):
                agent.ask(Fail("once")).result(10)
            agent.ask(Echo(1)).result(10)
            assert log.lines.count("failed: once") == 1

    def test_a_handler_with_more_attempts_gets_the_failing_message_again(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, log, supervision=Supervision(backoff=AT_ONCE))
            assert agent.ask(Poison(1)).result(10) == 2
            assert runtime.metrics().totals.failed == 0

    def test_a_message_that_fails_every_time_is_put_with_the_dead_letters(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, log, supervision=Supervision(backoff=AT_ONCE))
            with pytest.raises(HandlerFailed, match="poison"):
                agent.ask(Poison()).result(10)
            assert log.lines == ["tried 0"] * 3
            assert agent.ask(Echo(1)).result(10) == 1
            assert [letter.reason for letter in runtime.dead_letters] == [Reason.POISON]
            assert runtime.metrics().totals.failed == 1

    def test_hooks_bracket_each_life(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Hooked, log, supervision=Supervision(backoff=AT_ONCE))
            agent.tell(Fail("one"))
            agent.ask(Echo(1)).result(10)
            agent.stop().result(10)
            life = ["constructed", "started"]
            assert log.lines == [*life, "failed: one", "stopped", *life, "stopped"]

    def test_restarts_wait_longer_each_time(self) -> None:
        clock = ManualClock()
        policy = Supervision(max_restarts=5, backoff=Backoff(initial=1.0, factor=2.0, maximum=3.0, jitter=0.0))
        with self.runtime(clock=clock, ask_timeout=None) as runtime:
            agent = runtime.spawn(Failing, supervision=policy)
            # A handled message between them would make the delays begin anew.
            replies = [agent.ask(Fail()) for _ in range(5)]
            for reply, delay in zip(replies, (1.0, 2.0, 3.0, 3.0), strict=False):
                with pytest.raises(HandlerFailed):
                    reply.result(10)
                settle_restarting(runtime, agent)
                clock.advance(delay - 0.001)
                # The agent answers this after all that was due.
                assert runtime.inspect(agent).attributes is None
                clock.advance(0.001)
            with pytest.raises(HandlerFailed):
                replies[-1].result(10)

    def test_an_agent_is_not_restarted_more_often_than_permitted(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, name="hopeless", supervision=Supervision(max_restarts=2, backoff=AT_ONCE))
            for _ in range(3):
                with pytest.raises(HandlerFailed):
                    agent.ask(Fail()).result(10)
            with pytest.raises(AgentStopped, match=r"hopeless.*failed for good.*ValueError"):
                agent.ask(Echo(1)).result(10)
            eventually(lambda: not agent.is_alive)
            assert runtime.health()["hopeless"].state == "failed"

    def test_failures_that_lie_far_apart_do_not_add_up(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock, ask_timeout=None) as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(max_restarts=1, within=10.0, backoff=AT_ONCE))
            for _ in range(4):
                with pytest.raises(HandlerFailed):
                    agent.ask(Fail()).result(10)
                settle_restarting(runtime, agent)
                clock.advance(0.0)
                assert agent.ask(Echo(1)).result(10) == 1
                # An agent that is not at rest would count as stalled afterwards.
                eventually(lambda: runtime.health()[agent.name].state == "idle")
                clock.advance(10.1)

    def test_a_start_that_fails_is_tried_again(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(SlowStarter, log, 2, supervision=Supervision(backoff=AT_ONCE))
            assert agent.ask(Echo(1)).result(10) == 1
            assert log.lines == ["tried to start"] * 3

    def test_a_start_that_keeps_failing_ends_the_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(SlowStarter, Log(), 99, supervision=Supervision(max_restarts=2, backoff=AT_ONCE))
            with pytest.raises(AgentStopped, match="ConnectionError: not there yet"):
                agent.ask(Echo(1)).result(10)

    def test_a_background_task_that_raises_fails_the_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Failing, supervision=Supervision(backoff=AT_ONCE))
            agent.ask(FailChild()).result(10)
            eventually(lambda: runtime.health()[agent.name].restarts == 1)
            assert agent.ask(Echo(1)).result(10) == 1

    def test_a_failure_ends_the_other_handlers_and_tasks_of_the_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Interleaving, supervision=Supervision(backoff=AT_ONCE))
            slow = agent.ask(Sleep())
            with pytest.raises(HandlerFailed):
                agent.ask(Fail()).result(10)
            assert agent.ask(Echo(1)).result(10) == 1
            assert "the agent failed: ValueError: as told" in str(slow.exception())
            totals = runtime.metrics().totals
            assert (totals.failed, totals.cancelled) == (1, 1)

    def test_one_crash_under_load_fails_no_other_agent(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Failing, supervision=Supervision(backoff=AT_ONCE)) for _ in range(10)]
            replies = [agent.ask(Echo(n)) for n in range(20) for agent in agents]
            agents[3].tell(Fail())
            replies += [agent.ask(Echo(n)) for n in range(20) for agent in agents]
            assert all(reply.result(10) is not None for reply in replies)
            wait_until_idle(runtime)
            assert [agent.name for agent in agents if runtime.metrics().agents[agent.name].failed] == [agents[3].name]

    def test_a_snapshot_that_raises_fails_the_agent_with_the_reason(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Forgetful, supervision=Supervision(max_restarts=1, backoff=AT_ONCE))
            agent.tell(Note(1))
            eventually(lambda: runtime.health()[agent.name].restarts == 1)
            assert "snapshot" in runtime.health()[agent.name].last_error

    def test_an_agent_is_rebuilt_as_it_was_first_built(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Growing, [1], supervision=Supervision(backoff=AT_ONCE))
            for _ in range(2):
                with pytest.raises(HandlerFailed):
                    agent.ask(Fail()).result(10)
                assert agent.ask(Notes()).result(10) == [1, 2]


def settle_restarting(runtime: Any, agent: AgentRef) -> None:
    """Return once an agent waits for its backoff to be over."""
    eventually(lambda: runtime.health()[agent.name].state == "restarting")
    eventually(lambda: runtime.inspect(agent).attributes is None)


class Interleaving(Failing):
    @on(interleave=True)
    async def sleep(self, message: Sleep) -> int:
        await asyncio.Event().wait()
        return message.n


class Forgetful(Recorder):
    def snapshot(self) -> Any:
        raise OSError("no memory")

    def restore(self, state: Any) -> None:
        raise OSError("no memory")


class Growing(Recorder):
    def __init__(self, notes: list[int]) -> None:
        super().__init__()
        self.notes = notes
        notes.append(len(notes) + 1)
