"""The end of agents in the middle of something: a restart, an await that never ends, a handler that nobody asks any more."""

import asyncio
import gc
import logging
import threading
import warnings
from collections.abc import Callable

import pytest

from coterie import (
    Agent,
    AgentRef,
    AskTimeout,
    Dedicated,
    Leased,
    Message,
    Request,
    Runtime,
    RuntimeStopped,
    Supervision,
    on,
)
from coterie.concurrency import Signal
from coterie.kernel import Countdown
from coterie.runtime import Dispatcher, shutdown
from coterie.runtime.cells.supervision_group import GroupRestart
from coterie.runtime.observation import endless
from coterie.testing import ManualClock, eventually


class Fail(Message):
    pass


class Work(Request[str]):
    pass


class Looked(Request[list[str]]):
    pass


class Rebuilt(Agent):
    built = 0

    def __init__(self) -> None:
        Rebuilt.built += 1

    async def on_start(self) -> None:
        pass

    @on
    def fail(self, message: Fail) -> None:
        raise ValueError("broken")


def test_an_agent_that_is_stopped_just_as_its_backoff_ends_is_not_built_again() -> None:
    Rebuilt.built = 0
    ended = Signal()
    with warnings.catch_warnings(record=True) as caught, Runtime(clock=ManualClock()) as runtime:
        warnings.simplefilter("always")
        agent = runtime.spawn(Rebuilt, name="rebuilt")
        agent.tell(Fail())
        cell = runtime._services.registry.find("rebuilt")
        assert cell is not None
        eventually(lambda: cell.life._backoff is not None)

        def end_of_backoff_and_stop() -> None:
            cell.life._back_off_is_over()
            cell.life.stop(drain=False)
            ended.set()

        cell.control(end_of_backoff_and_stop)
        assert ended.wait(10)
        assert cell.ended.wait(10)
    gc.collect()
    assert Rebuilt.built == 1
    assert not [str(each.message) for each in caught if "never awaited" in str(each.message)]


class Counted(Agent):
    """Counts how often it was built."""

    def __init__(self, built: Callable[[], object]) -> None:
        built()

    @on
    def fail(self, message: Fail) -> None:
        raise ValueError("broken")

    @on
    def work(self, message: Work) -> str:
        return "done"


def test_a_group_restart_that_begins_just_as_a_backoff_ends_builds_each_member_once() -> None:
    built: list[str] = []
    clock = ManualClock()
    with Runtime(clock=clock) as runtime:
        one = runtime.spawn(Counted, lambda: built.append("one"), name="one")
        two = runtime.spawn(Counted, lambda: built.append("two"), name="two")
        cells = [cell for cell in map(runtime._services.registry.find, ("one", "two")) if cell is not None]
        for cell in cells:
            cell.reference.tell(Fail())
        eventually(lambda: all(cell.life._backoff is not None for cell in cells))
        group = GroupRestart(list(cells), 0.0)
        first, second = cells
        begun = Signal()

        def backoff_ends_and_group_restart_begins() -> None:
            first.life._back_off_is_over()
            first.life.restart_with(group)
            second.control(lambda: (second.life.restart_with(group), begun.set()))

        first.control(backoff_ends_and_group_restart_begins)
        assert begun.wait(10)

        def answered(agent: AgentRef) -> bool:
            clock.advance(0.01)
            return agent.ask(Work(), timeout=None).wait(0.05)

        eventually(lambda: answered(one) and answered(two))
    assert sorted(built) == ["one", "one", "two", "two"]


class Stubborn(Agent):
    def __init__(self, stopped: Callable[[], object]) -> None:
        self.stopped = stopped

    @on
    async def work(self, message: Work) -> str:
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    def on_stop(self) -> None:
        self.stopped()


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()])
def test_an_await_that_ignores_its_cancellation_is_shown_with_its_stack(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[str] = []
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Stubborn, lambda: stopped.append("stopped"), name="stubborn")
        agent.ask(Work())
        eventually(lambda: "in work" in runtime.inspect(agent).stack)
        report = runtime.stop(timeout=0.1)
    assert report is not None
    (stuck,) = report.stuck
    assert stuck.name == "stubborn"
    assert "in work\n    await asyncio.sleep(0.01)" in stuck.stack
    (record,) = [each for each in caplog.records if "given up" in each.getMessage()]
    assert "in work" in record.getMessage()
    assert stopped == ["stopped"]
    caplog.clear()
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class Slow(Agent):
    """Works for long in a ``def`` handler, and looks whether that is still of use."""

    def __init__(self, gate: list[threading.Event]) -> None:
        self.begun, self.go_on = gate
        self.seen: list[str] = []

    @on
    def work(self, message: Work) -> str:
        context = self.context
        self.seen += [f"deadline {context.deadline}", f"cancelled {context.cancelled}"]
        self.begun.set()
        self.go_on.wait(10)
        self.seen += [f"cancelled {context.cancelled}"]
        return "done"

    @on
    def looked(self, message: Looked) -> list[str]:
        return [*self.seen, f"deadline {self.context.deadline}", f"cancelled {self.context.cancelled}"]


@pytest.mark.parametrize("by", ["timeout", "cancel", "strict"])
def test_a_plain_handler_can_ask_whether_its_asker_has_left(by: str) -> None:
    clock = ManualClock()
    begun, go_on = threading.Event(), threading.Event()
    with Runtime(clock=clock, strict=by == "strict") as runtime:
        slow = runtime.spawn(Slow, [begun, go_on])
        reply = slow.ask(Work(), timeout=3)
        assert begun.wait(10)
        if by == "cancel":
            reply.cancel()
        else:
            clock.advance(3)
        go_on.set()
        seen = slow.ask(Looked(), timeout=None).result(10)
    assert seen == ["deadline 3.0", "cancelled False", "cancelled True", "deadline None", "cancelled False"]
    if by != "cancel":
        with pytest.raises(AskTimeout):
            reply.result()


class Delegating(Agent):
    """Lets a function of the pool look whether its asker has left."""

    def __init__(self, gate: list[threading.Event], told: Callable[[bool], object]) -> None:
        self.begun, self.go_on = gate
        self.told = told

    @on
    async def work(self, message: Work) -> str:
        await self.context.run_blocking(self.look)
        return "done"

    def look(self) -> None:
        self.told(self.context.cancelled)
        self.begun.set()
        self.go_on.wait(10)
        self.told(self.context.cancelled)


def test_a_blocking_call_can_ask_whether_the_asker_of_its_handler_has_left() -> None:
    told: list[bool] = []
    begun, go_on = threading.Event(), threading.Event()
    with Runtime() as runtime:
        reply = runtime.spawn(Delegating, [begun, go_on], told.append).ask(Work())
        assert begun.wait(10)
        reply.cancel()
        go_on.set()
        eventually(lambda: len(told) == 2)
    assert told == [False, True]


class Loop(Agent):
    """Never returns from its first hook, unless it is told that this is of no use any more."""

    def __init__(self, begun: list[threading.Event]) -> None:
        self.begun = begun[0]
        self.ticks = threading.Event()

    def on_start(self) -> None:
        self.begun.set()
        while not self.context.cancelled:
            self.ticks.wait(0.001)


def test_a_plain_hook_can_ask_whether_its_agent_is_to_end() -> None:
    begun = threading.Event()
    with Runtime() as runtime:
        loop = runtime.spawn(Loop, [begun])
        assert begun.wait(10)
        report = runtime.stop(drain=False, timeout=5)
    assert report is not None
    assert not report.stuck
    assert not loop.is_alive


class Told(Message):
    pass


class SelfTeller(Agent):
    def __init__(self) -> None:
        self.context.self_ref.tell(Told())

    @on
    def told(self, message: Told) -> None:
        if not self.context.stopping:
            self.context.self_ref.tell(message)


def test_an_agent_that_tells_itself_messages_can_ask_whether_it_is_to_cease() -> None:
    with Runtime() as runtime:
        runtime.spawn(SelfTeller)
        report = runtime.stop(timeout=10)
    assert report is not None
    assert report.drained


class Waker(Agent):
    """Tells itself one message after the other, for ever or for a while."""

    def __init__(self, most: float, seconds: float = 0.0) -> None:
        self.most = most
        self.seconds = seconds
        self.context.self_ref.tell(Told())

    @on
    async def told(self, message: Told) -> None:
        self.most -= 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.most > 0:
            self.context.self_ref.tell(message)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times for which a stop waits for agents that go on for ever."""
    monkeypatch.setattr(endless, "_PATIENCE", 0.2)
    monkeypatch.setattr(shutdown, "_LAST_CALL", 0.2)


class NeverReady(Agent):
    async def on_start(self) -> None:
        await asyncio.Event().wait()


class NeverReturns(Agent):
    def __init__(self, gate: list[threading.Event]) -> None:
        self.gate = gate[0]

    def on_start(self) -> None:
        self.gate.wait(20)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("seconds", [0.0, 0.002])
def test_an_agent_that_tells_itself_messages_for_ever_does_not_hold_up_the_stop(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    countdown = Countdown(15)
    with Runtime() as runtime:
        runtime.spawn(Waker, float("inf"), seconds, name="waker")
        report = runtime.stop(timeout=30)
    assert report is not None
    assert not report.drained
    assert not report.stuck
    assert "only keeps itself busy" in caplog.text
    assert not countdown.over


@pytest.mark.usefixtures("hasty")
def test_an_agent_that_tells_itself_messages_for_a_while_is_drained() -> None:
    with Runtime() as runtime:
        runtime.spawn(Waker, 60, 0.01)
        report = runtime.stop(timeout=30)
    assert report is not None
    assert report.drained
    assert runtime.metrics().totals.handled == 60


@pytest.mark.usefixtures("hasty")
def test_a_start_that_never_ends_does_not_hold_up_the_stop() -> None:
    countdown = Countdown(15)
    gate = threading.Event()
    with Runtime() as runtime:
        runtime.spawn(NeverReady)
        runtime.spawn(NeverReturns, [gate], name="stuck")
        report = runtime.stop(timeout=30)
        gate.set()
    assert report is not None
    assert [stuck.name for stuck in report.stuck] == ["stuck"]
    assert not countdown.over


@pytest.mark.usefixtures("hasty")
def test_a_start_that_has_lasted_for_long_is_not_waited_for_though_messages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "_START", 0.1)
    countdown = Countdown(15)
    with Runtime() as runtime:
        reply = runtime.spawn(NeverReady).ask(Work(), timeout=None)
        assert not reply.wait(0.2)
        runtime.stop(timeout=30)
    with pytest.raises(RuntimeStopped):
        reply.result(10)
    assert not countdown.over


class Empty(Message):
    pass


class LateStarter(Agent):
    async def on_start(self) -> None:
        await asyncio.sleep(0.7)

    @on
    def empty(self, message: Empty) -> None: ...


@pytest.mark.usefixtures("hasty")
def test_a_start_that_takes_long_is_waited_for_if_there_is_a_message_to_handle() -> None:
    with Runtime() as runtime:
        runtime.spawn(LateStarter).tell(Empty())
        report = runtime.stop(timeout=30)
    assert report is not None
    assert report.drained
    assert runtime.metrics().totals.handled == 1


class Fatal(Message):
    agent: AgentRef


class Quiet(Message):
    pass


class Doomed(Agent):
    """Is told to stop and fails for good in one handler. It has an event loop, whose end takes a step more."""

    @on
    async def fatal(self, message: Fatal) -> None:
        await asyncio.sleep(0)
        message.agent.stop()
        raise ValueError("for good")

    @on
    async def quiet(self, message: Quiet) -> None:
        await asyncio.sleep(60)


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_an_agent_that_fails_for_good_begins_no_message_though_it_is_told_to_drain(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Doomed, supervision=Supervision(max_restarts=0))
        runtime.pause(agent)
        agent.tell(Fatal(agent))
        agent.tell(Quiet())
        runtime.resume(agent)
        eventually(lambda: not agent.is_alive)
        totals = runtime.metrics().totals
        assert (totals.sent, totals.failed, totals.dead) == (2, 1, 1)
