"""The messages that agents send themselves later."""

from coterie import Agent, Message, Request, Runtime, Supervision, on
from coterie.testing import ManualClock, eventually


class Tick(Message):
    life: int = 0


class Advance(Request[int]):
    seconds: float


class Crash(Message):
    pass


class Ticks(Request[int]):
    pass


class Missed(Request[int]):
    pass


class Ticking(Agent):
    lives = 0

    def __init__(self, clock: list[ManualClock], rhythm: str = "fixed-rate") -> None:
        type(self).lives += 1
        self.life = type(self).lives
        self.clock = clock[0] if clock else None
        self.rhythm = rhythm
        self.ticks: list[int] = []

    def on_start(self) -> None:
        self.timer = self.context.every(1.0, Tick(life=self.life), rhythm=self.rhythm)  # type: ignore[arg-type] # as given

    @on
    def tick(self, message: Tick) -> None:
        self.ticks.append(message.life)

    @on
    def advance(self, message: Advance) -> int:
        # The agent is busy while the time passes.
        clock = self.context.runtime.clock
        assert isinstance(clock, ManualClock)
        clock.advance(message.seconds)
        return len(self.ticks)

    @on
    def crash(self, message: Crash) -> None:
        clock = self.context.runtime.clock
        assert isinstance(clock, ManualClock)
        clock.advance(3.0)
        raise ValueError("as told")

    @on
    def counted(self, message: Ticks) -> int:
        return len(self.ticks)

    @on
    def missed(self, message: Missed) -> int:
        return self.timer.missed


class Switch(Ticking):
    @on
    def advance(self, message: Advance) -> int:
        found = super().advance(message)
        self.timer.cancel()
        return found


def test_at_most_one_tick_waits_while_the_agent_is_busy_and_the_others_are_counted() -> None:
    with Runtime(clock=ManualClock()) as runtime:
        agent = runtime.spawn(Ticking, [])
        assert agent.ask(Ticks()).result() == 0
        agent.ask(Advance(seconds=10.0)).result()
        assert agent.ask(Ticks()).result() == 1
        assert agent.ask(Missed()).result() == 9


def test_with_a_fixed_delay_the_next_tick_is_due_after_the_handler_of_the_last() -> None:
    with Runtime(clock=ManualClock()) as runtime:
        agent = runtime.spawn(Ticking, [], "fixed-delay")
        agent.ask(Ticks()).result()
        agent.ask(Advance(seconds=10.5)).result()
        assert agent.ask(Ticks()).result() == 1
        agent.ask(Advance(seconds=0.9)).result()
        assert agent.ask(Ticks()).result() == 1
        agent.ask(Advance(seconds=0.2)).result()
        assert agent.ask(Ticks()).result() == 2
        assert agent.ask(Missed()).result() == 0


def test_a_rhythm_is_one_of_two() -> None:
    with Runtime(supervision=Supervision(max_restarts=0)) as runtime:
        agent = runtime.spawn(Ticking, [], "weekly")
        eventually(lambda: "InvalidSetting" in runtime.health()[agent.name].last_error)


def test_no_tick_is_handled_after_its_timer_was_cancelled() -> None:
    with Runtime(clock=ManualClock()) as runtime:
        agent = runtime.spawn(Switch, [])
        agent.ask(Ticks()).result()
        agent.ask(Advance(seconds=3.0)).result()
        assert agent.ask(Ticks()).result() == 0


class Seen(Request[list[int]]):
    pass


class Reborn(Ticking):
    @on
    def seen(self, message: Seen) -> list[int]:
        return [self.life, *self.ticks]


def test_no_tick_of_a_former_life_is_handled_in_the_next() -> None:
    clock = ManualClock()
    with Runtime(clock=clock) as runtime:
        agent = runtime.spawn(Reborn, [])
        first = agent.ask(Seen()).result()[0]
        agent.tell(Crash())

        def rebuilt() -> bool:
            clock.advance(0.1)
            return runtime.health()[agent.name].restarts > 0

        eventually(rebuilt)
        life, *ticks = agent.ask(Seen()).result()
        assert life > first
        assert set(ticks) <= {life}


class Poll(Agent):
    def on_start(self) -> None:
        self.context.every(0.01, Tick())

    @on
    def tick(self, message: Tick) -> None:
        clock = self.context.runtime.clock
        end = clock.monotonic() + 0.03
        while clock.monotonic() < end:
            pass


def test_a_timer_that_is_faster_than_its_handler_does_not_keep_the_runtime_from_draining() -> None:
    runtime = Runtime()
    runtime.spawn(Poll)
    report = runtime.stop(timeout=20.0)
    assert report is not None
    assert report.drained
    assert not runtime.dead_letters.total
