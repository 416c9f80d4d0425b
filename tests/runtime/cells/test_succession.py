"""Agents that are stuck in code that does not return: they are killed, or replaced."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from coterie import (
    Agent,
    AgentDown,
    AgentRef,
    AgentRestarted,
    AgentStopped,
    AskCancelled,
    Dedicated,
    HandlerFailed,
    Leased,
    Message,
    Request,
    Runtime,
    Supervision,
    on,
)
from coterie.messaging import LocalTransport, Reason
from coterie.runtime import AgentState, Dispatcher
from coterie.testing import ManualClock, eventually
from coterie.testing.conformance.base import Gate


class Stick(Message):
    pass


class StickLater(Message):
    pass


class Count(Request[int]):
    pass


class News(Request[list[str]]):
    pass


class Sticky(Agent):
    """Gets stuck as it is told; counts what it handles, and keeps that."""

    def __init__(self, gate: Gate, log: "Log") -> None:
        self.gate = gate
        self.log = log
        self.count = 0

    def on_stop(self) -> None:
        self.log.write(f"stop {self.count}")

    @on
    def stick(self, message: Stick) -> None:
        self.gate.wait()
        self.count += 100

    @on
    async def stick_later(self, message: StickLater) -> None:
        await asyncio.sleep(0)
        self.gate.wait()
        self.count += 100

    @on
    def add(self, message: Count) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


class Log:
    """Lines that agents write. Passed as it is, for it holds a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        with self.lock:
            self.lines.append(line)


class Watcher(Agent):
    def __init__(self, watched: AgentRef) -> None:
        self.events: list[str] = []
        self.watched = watched

    def on_start(self) -> None:
        self.context.watch(self.watched)

    @on
    def restarted(self, message: AgentRestarted) -> None:
        self.events.append(f"restarted: {message.error}")

    @on
    def down(self, message: AgentDown) -> None:
        self.events.append(f"down: {message.reason}")

    @on
    def news(self, message: News) -> list[str]:
        return self.events


@pytest.fixture(params=[Leased(), Dedicated()], ids=["leased", "dedicated"])
def dispatcher(request: pytest.FixtureRequest) -> Dispatcher:
    found: Dispatcher = request.param
    return found


class Scene:
    def __init__(self, dispatcher: Dispatcher, **options: object) -> None:
        self.clock = ManualClock()
        self.gate = Gate()
        self.log = Log()
        supervision = Supervision(backoff=0.0, on_stall="replace")
        self.runtime = Runtime(
            clock=self.clock,
            dispatcher=dispatcher,
            supervision=supervision,
            stall_after=1.0,
            ask_timeout=None,
            **options,  # type: ignore[arg-type] # options of Runtime
        )

    def spawn_stuck(self, how: Message) -> AgentRef:
        agent = self.runtime.spawn(Sticky, self.gate, self.log, name="sticky")
        assert agent.ask(Count()).result(10) == 1
        agent.tell(how)
        self.gate.wait_for_entry()
        return agent

    def until(self, condition: Callable[[], object]) -> None:
        """Let time pass until a condition is true: delays of agents begin while it passes."""

        def look() -> bool:
            self.clock.advance(1e-6)
            return bool(condition())

        eventually(look)

    def wait_until_idle(self, *names: str) -> None:
        """Wait until agents are built and have nothing to do: time that passes while one is built would count as a stall."""

        def idle() -> bool:
            health = self.runtime.health()
            return all(name in health and health[name].state is AgentState.IDLE for name in names)

        eventually(idle)

    def let_time_pass(self) -> None:
        """Let time pass until one more agent has been given up, or long enough for that."""
        before = len(self.runtime._services.successions.given_up())
        for _ in range(10):
            self.clock.advance(0.25)
            if len(self.runtime._services.successions.given_up()) > before:
                return


@pytest.fixture
def scene(dispatcher: Dispatcher) -> Iterator[Scene]:
    scene = Scene(dispatcher)
    with scene.runtime:
        yield scene
        scene.gate.open()


@pytest.mark.parametrize("how", [Stick(), StickLater()])
def test_a_stuck_agent_is_replaced_and_keeps_its_address_its_queue_and_its_state(scene: Scene, how: Message) -> None:
    runtime = scene.runtime
    agent = scene.spawn_stuck(how)
    watcher = runtime.spawn(Watcher, agent)
    assert watcher.ask(News()).result(10) == []
    queued = agent.ask(Count())
    scene.let_time_pass()
    scene.until(lambda: queued.done)
    assert queued.result(10) == 2
    assert agent.is_alive
    assert runtime.find("sticky") == agent
    (event,) = watcher.ask(News()).result(10)
    assert event.startswith("restarted: TimeoutError: it held its thread for 1.")
    assert runtime.health()["sticky"].restarts == 1
    # The code in which it was stuck returns, and finds that it is not the agent any more.
    scene.gate.open()
    eventually(lambda: scene.log.lines == ["stop 101"])
    assert agent.ask(Count()).result(10) == 3
    assert watcher.ask(News()).result(10) == [event]
    eventually(lambda: not runtime._services.successions.given_up())
    counts = runtime.metrics().agents["sticky"]
    assert (counts.handled, counts.cancelled, counts.sent) == (3, 1, 4)
    agent.stop().result(10)
    eventually(lambda: watcher.ask(News()).result(10)[1:] == ["down: stopped"])
    assert scene.log.lines == ["stop 101", "stop 3"]


@pytest.mark.parametrize("how", [Stick(), StickLater()])
def test_a_killed_agent_gives_its_name_free_though_it_is_stuck(scene: Scene, how: Message) -> None:
    runtime = scene.runtime
    agent = scene.spawn_stuck(how)
    watcher = runtime.spawn(Watcher, agent)
    assert watcher.ask(News()).result(10) == []
    queued = agent.ask(Count())
    killed = agent.kill(timeout=0.5)
    assert not killed.done
    scene.clock.advance(0.5)
    killed.result(10)
    assert not agent.is_alive
    with pytest.raises(AgentStopped):
        queued.result(10)
    other = runtime.spawn(Sticky, scene.gate, scene.log, name="sticky")
    assert other.ask(Count()).result(10) == 1
    eventually(lambda: watcher.ask(News()).result(10) == ["down: stopped"])
    scene.gate.open()
    eventually(lambda: scene.log.lines == ["stop 101"])
    assert other.ask(Count()).result(10) == 2
    totals = runtime.metrics().totals
    assert totals.sent == totals.handled + totals.cancelled + totals.dead
    assert agent.stop().result(10) is None
    assert agent.kill().result(10) is None


class Hang(Request[int]):
    pass


class Hanging(Sticky):
    @on
    def hang(self, message: Hang) -> int:
        self.gate.wait()
        return 1


def test_the_ask_in_hand_of_an_agent_that_is_given_up_ends(scene: Scene) -> None:
    agent = scene.runtime.spawn(Hanging, scene.gate, scene.log)
    reply = agent.ask(Hang())
    scene.gate.wait_for_entry()
    scene.let_time_pass()
    with pytest.raises(AskCancelled, match="stuck, and the agent was given up"):
        reply.result(10)


class Stubborn(Agent):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.gate.wait()

    @on
    def count(self, message: Count) -> int:
        return 1


def test_an_agent_is_killed_in_its_constructor(scene: Scene) -> None:
    agent = scene.runtime.spawn(Stubborn, scene.gate, name="stubborn")
    scene.gate.wait_for_entry()
    killed = agent.kill(timeout=0.0)
    scene.clock.advance(0.1)
    killed.result(10)
    scene.gate.open()
    again = scene.runtime.spawn(Stubborn, scene.gate, name="stubborn")
    assert again.ask(Count()).result(10) == 1
    eventually(lambda: not scene.runtime._services.successions.given_up())
    assert again.ask(Count()).result(10) == 1
    assert scene.runtime.agents() == [again]


def test_an_agent_that_is_not_stuck_is_killed_in_order(scene: Scene) -> None:
    agent = scene.runtime.spawn(Sticky, scene.gate, scene.log)
    agent.kill().result(10)
    assert scene.log.lines == ["stop 0"]
    scene.clock.advance(2.0)
    assert scene.runtime.metrics().spawned == 1


class Boss(Agent):
    supervision = Supervision(max_restarts=1, backoff=0.0, on_stall="replace")

    def __init__(self, gate: Gate, log: Log) -> None:
        self.worker = self.context.spawn(Sticky, gate, log, name="worker")

    @on
    def stick(self, message: Stick) -> None:
        self.worker.tell(message)


def test_one_stall_too_many_fails_the_agent_and_its_parent(scene: Scene) -> None:
    boss = scene.runtime.spawn(Boss, scene.gate, scene.log, name="boss")
    scene.wait_until_idle("boss", "worker")
    worker = scene.runtime.find("worker")
    assert worker is not None
    for restarts in range(2):
        scene.until(partial(getattr, worker.ask(Count()), "done"))
        assert scene.runtime.health()["worker"].restarts == restarts
        boss.tell(Stick())
        scene.gate.wait_for_entry()
        scene.let_time_pass()
    scene.until(lambda: scene.runtime.health()["boss"].restarts == 1)


class Pair(Agent):
    supervision = Supervision("one-for-all", backoff=0.0, on_stall="replace")

    def __init__(self, gate: Gate, log: Log) -> None:
        self.one = self.context.spawn(Sticky, gate, log, name="one")
        self.two = self.context.spawn(Sticky, gate, log, name="two")


def test_a_stall_restarts_the_group(scene: Scene) -> None:
    scene.runtime.spawn(Pair, scene.gate, scene.log, name="pair")
    scene.wait_until_idle("pair", "one", "two")
    one, two = scene.runtime.find("one"), scene.runtime.find("two")
    assert one is not None
    assert two is not None
    one.tell(Stick())
    scene.gate.wait_for_entry()

    scene.let_time_pass()

    def restarted() -> bool:
        health = scene.runtime.health()
        return (health["one"].restarts, health["two"].restarts) == (1, 1)

    scene.until(restarted)
    assert one.ask(Count()).result(10) == two.ask(Count()).result(10) == 1


class Parent(Agent):
    def __init__(self, gate: Gate, log: Log) -> None:
        self.gate = gate
        self.child = self.context.spawn(Sticky, gate, log, name="child")

    @on
    def stick(self, message: Stick) -> None:
        self.gate.wait()

    @on
    async def count(self, message: Count) -> int:
        return await self.child.ask(Count())


def test_the_children_of_a_stuck_agent_end_before_it_is_built_again(scene: Scene) -> None:
    parent = scene.runtime.spawn(Parent, scene.gate, scene.log)
    assert parent.ask(Count()).result(10) == 1
    parent.tell(Stick())
    scene.gate.wait_for_entry()
    reply = parent.ask(Count())
    scene.let_time_pass()
    scene.until(lambda: reply.done)
    assert reply.result(10) == 1
    assert scene.log.lines == ["stop 1"]


class Asking(Agent):
    def __init__(self, other: AgentRef) -> None:
        self.other = other

    @on
    def count(self, message: Count) -> int:
        return self.other.ask(Hang()).result(10)


def test_an_agent_that_waits_for_a_reply_is_not_taken_for_stuck(scene: Scene) -> None:
    asked = scene.runtime.spawn(Hanging, scene.gate, scene.log, supervision=Supervision())
    asking = scene.runtime.spawn(Asking, asked, name="asking")
    reply = asking.ask(Count())
    scene.gate.wait_for_entry()
    eventually(lambda: scene.runtime.health()["asking"].state is AgentState.WAITING)
    scene.let_time_pass()
    scene.gate.open()
    assert reply.result(10) == 1
    assert scene.runtime.health()["asking"].restarts == 0


def test_the_stop_of_the_runtime_names_the_threads_that_were_given_up(dispatcher: Dispatcher) -> None:
    scene = Scene(dispatcher)
    scene.spawn_stuck(Stick())
    scene.let_time_pass()
    scene.until(lambda: scene.runtime.health()["sticky"].restarts == 1)
    report = scene.runtime.stop()
    scene.gate.open()
    assert report is not None
    (stuck,) = report.stuck
    assert stuck.name == "sticky"
    assert "self.gate.wait()" in stuck.stack


def test_an_agent_of_another_node_is_killed() -> None:
    gate, wire = Gate(), LocalTransport()
    with ExitStack() as stack:
        here = stack.enter_context(Runtime("here", transport=wire))
        there = stack.enter_context(Runtime("there", transport=wire))
        agent = there.spawn(Sticky, gate, Log(), name="sticky")
        agent.tell(Stick())
        gate.wait_for_entry()
        here.reference(agent.address).kill(timeout=0.01).result(10)
        assert there.find("sticky") is None
        gate.open()


def test_messages_that_a_killed_agent_leaves_are_dead_letters(scene: Scene) -> None:
    agent = scene.spawn_stuck(Stick())
    agent.tell(Stick())
    killed = agent.kill(timeout=0.0)
    scene.clock.advance(0.1)
    killed.result(10)
    agent.tell(Stick())
    assert [letter.reason for letter in scene.runtime.dead_letters] == [Reason.STOPPED, Reason.STOPPED]


def test_a_policy_for_stalls_is_one_of_two() -> None:
    with pytest.raises(ValueError, match=r"Supervision\.on_stall='kill'.*'report', 'replace'"):
        Supervision(on_stall="kill")  # type: ignore[arg-type] # on purpose


def test_failures_still_count_when_nothing_is_stuck(scene: Scene) -> None:
    class Failing(Agent):
        @on
        def count(self, message: Count) -> int:
            raise ValueError("as told")

    with pytest.raises(HandlerFailed):
        scene.runtime.spawn(Failing).ask(Count()).result(10)
