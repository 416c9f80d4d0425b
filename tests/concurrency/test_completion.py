import asyncio
from random import Random

import pytest

from coterie.concurrency import Completion, Signal
from coterie.runtime.dispatchers.loops import LoopInbox, LoopInboxes
from coterie.testing import Interleaver, Sequencer, Together
from tests.runs import runs


def test_waiting_returns_when_it_is_set_and_not_before() -> None:
    signal = Signal()
    steps = Sequencer()
    seen: list[bool] = []
    steps.start(lambda: (steps(0), seen.append(signal.wait(0)), steps(1), seen.append(signal.wait(10.0))))
    steps.start(lambda: (steps(2), signal.set()))
    steps.join()
    assert seen == [False, True]


def test_callbacks_are_called_once_whether_they_come_early_or_late() -> None:
    threads = Interleaver([Completion.add_callback, Completion.remove_callback, Completion._finish, Signal.set])
    for seed in runs(60):
        with threads.locks():
            signal = Signal()
        called: list[int] = []
        threads.run(
            [
                lambda: signal.add_callback(lambda: called.append(1)),
                lambda: signal.add_callback(lambda: called.append(2)),
                signal.set,
                signal.set,
            ],
            Random(seed),
        )
        assert sorted(called) == [1, 2]


def test_a_callback_that_was_removed_is_not_called() -> None:
    signal = Signal()
    called: list[int] = []

    def callback() -> None:
        called.append(1)

    signal.add_callback(callback)
    signal.remove_callback(callback)
    signal.remove_callback(callback)
    signal.set()
    assert called == []


def test_a_wait_that_times_out_leaves_nothing_behind() -> None:
    signal = Signal()
    assert not signal.wait(0.001)
    assert signal._callbacks == []


class FakeLoop:
    """Stands for an event loop: keeps what is to be called, and counts the wake-ups."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def call_soon_threadsafe(self, callback: object) -> None:
        self.calls.append(callback)


class FakeFuture:
    def __init__(self) -> None:
        self.results = 0

    def done(self) -> bool:
        return False

    def set_result(self, value: None) -> None:
        self.results += 1


def test_every_future_of_a_loop_is_set_once_and_a_burst_wakes_the_loop_once() -> None:
    threads = Interleaver([LoopInbox.deliver, LoopInbox._flush], opcodes=True)
    for seed in runs(40):
        loop = FakeLoop()
        inbox = LoopInbox(loop)  # type: ignore[arg-type] # stands for one
        futures = [FakeFuture() for _ in range(4)]

        def run_loop(loop: FakeLoop = loop) -> None:
            while loop.calls:
                loop.calls.pop(0)()  # type: ignore[operator] # see FakeLoop

        threads.run(
            [
                lambda: [inbox.deliver(future) for future in futures[:2]],  # type: ignore[arg-type] # stands for one
                lambda: [inbox.deliver(future) for future in futures[2:]],  # type: ignore[arg-type] # stands for one
                run_loop,
            ],
            Random(seed),
        )
        run_loop()
        assert [future.results for future in futures] == [1, 1, 1, 1]
    inbox = LoopInbox(loop)  # type: ignore[arg-type] # stands for one
    for future in futures:
        inbox.deliver(future)  # type: ignore[arg-type] # stands for one
    assert len(loop.calls) == 1


def test_completions_can_be_awaited_on_many_loops_at_once() -> None:
    inboxes = LoopInboxes()
    signals = [Signal() for _ in range(50)]

    async def wait_for_all() -> None:
        await asyncio.gather(*(inboxes.future(signal) for signal in signals))

    loops = Together(*[lambda: asyncio.run(wait_for_all())] * 4)
    for signal in signals:
        signal.set()
    loops.join()


def test_a_loop_that_was_closed_is_left_alone() -> None:
    inboxes = LoopInboxes()
    signal = Signal()

    async def give_up() -> None:
        inboxes.future(signal)

    asyncio.run(give_up())
    signal.set()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_callback_that_raises_harms_neither_the_others_nor_the_thread_that_completes(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    signal = Signal()
    called: list[int] = []
    signal.add_callback(fail)
    signal.add_callback(lambda: called.append(1))
    signal.set()
    assert called == [1]
    signal.add_callback(fail)
    assert caplog.text.count("a callback of an outcome raised") == 2
