"""A stop waits for every finite chain of messages, and not for agents that keep each other busy for ever."""

import asyncio

import pytest

from coterie import Agent, AgentRef, Dedicated, Leased, Message, Request, Runtime, on
from coterie.kernel import Countdown
from coterie.runtime import Dispatcher, StopReport, shutdown
from coterie.runtime.observation import endless

FOR_EVER = 10**9


class Ball(Message):
    left: int


class Seat(Request[None]):
    neighbour: AgentRef


class Noted(Message):
    pass


class Scorer(Agent):
    @on
    def note(self, message: Noted) -> None: ...


class Player(Agent):
    """Passes a ball on to its neighbour while throws are left."""

    def __init__(self, seconds: float, scorer: AgentRef | None) -> None:
        self.seconds = seconds
        self.scorer = scorer
        self.neighbour = self.context.self_ref

    @on
    def seat(self, message: Seat) -> None:
        self.neighbour = message.neighbour

    @on
    async def catch(self, message: Ball) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.scorer is not None:
            self.scorer.tell(Noted())
        if message.left > 0:
            self.neighbour.tell(Ball(message.left - 1))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times for which a stop waits for agents that go on for ever."""
    monkeypatch.setattr(endless, "_PATIENCE", 0.2)
    monkeypatch.setattr(shutdown, "_LAST_CALL", 0.2)


def ring(runtime: Runtime, players: int, *, seconds: float = 0.0, scorer: AgentRef | None = None) -> AgentRef:
    """Seat players in a ring, and return the first."""
    seated = [runtime.spawn(Player, seconds, scorer) for _ in range(players)]
    for player, neighbour in zip(seated, [*seated[1:], seated[0]], strict=True):
        player.ask(Seat(neighbour)).result(10)
    return seated[0]


def stop(runtime: Runtime, timeout: float) -> StopReport:
    report = runtime.stop(timeout=timeout)
    assert report is not None
    return report


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("players", [2, 3])
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_agents_that_tell_each_other_for_ever_do_not_hold_up_the_stop(
    players: int, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endless, "_HOPS", 100)
    countdown = Countdown(20)
    with Runtime(dispatcher=dispatcher) as runtime:
        ring(runtime, players).tell(Ball(FOR_EVER))
        report = stop(runtime, 40)
    assert not report.drained
    assert not report.stuck
    assert "only keeps itself busy" in caplog.text
    assert not countdown.over


@pytest.mark.usefixtures("hasty")
def test_slow_agents_that_tell_each_other_for_ever_are_stopped_at_half_the_time(caplog: pytest.LogCaptureFixture) -> None:
    with Runtime() as runtime:
        ring(runtime, 2, seconds=0.005).tell(Ball(FOR_EVER))
        report = stop(runtime, 3)
    assert not report.drained
    assert "only keeps itself busy" in caplog.text


@pytest.mark.usefixtures("hasty")
def test_an_agent_that_they_tell_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "_HOPS", 100)
    with Runtime() as runtime:
        scorer = runtime.spawn(Scorer, name="scorer")
        ring(runtime, 2, scorer=scorer).tell(Ball(FOR_EVER))
        report = stop(runtime, 40)
        totals = runtime.metrics().totals
    assert not report.drained
    assert totals.dead <= 1
    assert totals.cancelled <= 1


class Courier(Agent):
    """Takes one ball to another agent, and ends."""

    def __init__(self, to: AgentRef) -> None:
        self.to = to

    @on
    def carry(self, message: Ball) -> None:
        self.to.tell(message)
        self.context.self_ref.stop()


class Sender(Agent):
    """Gives each ball to a new courier, which brings it back."""

    @on
    def catch(self, message: Ball) -> None:
        if message.left > 0:
            self.context.spawn(Courier, self.context.self_ref).tell(Ball(message.left - 1))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("throws", [FOR_EVER, 500])
def test_agents_that_end_and_are_spawned_anew_count_too(throws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "_HOPS", 100 if throws == FOR_EVER else 1_000)
    countdown = Countdown(20)
    with Runtime() as runtime:
        runtime.spawn(Sender).tell(Ball(throws))
        report = stop(runtime, 40)
        assert report.drained is (throws != FOR_EVER)
        if report.drained:
            assert runtime.metrics().totals.handled == 2 * throws + 1
    assert not countdown.over


@pytest.mark.usefixtures("hasty")
def test_a_ball_that_is_thrown_ten_thousand_times_is_drained() -> None:
    with Runtime() as runtime:
        ring(runtime, 2).tell(Ball(10_000))
        report = stop(runtime, 60)
        assert report.drained
        assert runtime.metrics().totals.handled == 10_003


class Stage(Agent):
    def __init__(self, following: AgentRef | None) -> None:
        self.following = following

    @on
    def hand_on(self, message: Noted) -> None:
        if self.following is not None:
            self.following.tell(message)


class Produce(Message):
    left: int


class Producer(Stage):
    """Tells itself to produce the next one."""

    @on
    def produce(self, message: Produce) -> None:
        self.hand_on(Noted())
        if message.left > 1:
            self.context.self_ref.tell(Produce(message.left - 1))


@pytest.mark.usefixtures("hasty")
def test_a_long_pipeline_is_drained_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "_HOPS", 100)
    with Runtime() as runtime:
        last: AgentRef | None = None
        for _ in range(5):
            last = runtime.spawn(Stage, last)
        assert last is not None
        for _ in range(10_000):
            last.tell(Noted())
        assert stop(runtime, 60).drained
        assert runtime.metrics().totals.handled == 50_000


@pytest.mark.usefixtures("hasty")
def test_a_pipeline_that_feeds_itself_is_drained_whole() -> None:
    with Runtime() as runtime:
        last: AgentRef | None = None
        for _ in range(3):
            last = runtime.spawn(Stage, last)
        runtime.spawn(Producer, last).tell(Produce(10_000))
        assert stop(runtime, 60).drained
        assert runtime.metrics().totals.handled == 40_000
