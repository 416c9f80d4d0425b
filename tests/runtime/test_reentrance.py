"""Public calls inside signal handlers and finalizers, which may run while any of our locks is held."""

import gc
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import pytest

from coterie import Agent, MailboxPolicy, Message, MessagePriority, Request, Runtime, on
from coterie.concurrency import Signal, start_thread
from coterie.concurrency.locks import Lock, Rank, replace_making
from coterie.concurrency.timers import Timers
from coterie.errors import ReentrantCall
from coterie.kernel import SystemClock


class Note(Message):
    text: str = ""


class Count(Request[int]):
    pass


class Counter(Agent):
    def __init__(self) -> None:
        self.count = 0

    @on
    def note(self, message: Note) -> None:
        self.count += 1

    @on
    def counted(self, message: Count) -> int:
        return self.count


def finishes(body: Callable[[], object], seconds: float = 10.0) -> bool:
    """Return whether a function ends, on a thread of its own."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the caller
            errors.append(error)

    thread = start_thread(run, "body")
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()


def test_every_way_to_send_is_safe_while_its_thread_holds_any_of_the_locks() -> None:
    made: list[tuple[Rank, Lock]] = []

    def make(rank: Rank) -> Lock:
        lock: Lock = threading.RLock()  # type: ignore[assignment] # the stubs do not know `_is_owned`
        made.append((rank, lock))
        return lock

    with replace_making(make), Runtime(mailbox=MailboxPolicy.drop_oldest(100_000)) as runtime:
        counter = runtime.spawn(Counter)
        gone = runtime.spawn(Counter)
        gone.stop().result()
        counter.ask(Count()).result()
        sent = 0
        # Each way to send makes more.
        made_first = made[:]
        for rank, lock in made_first:

            def send(lock: Lock = lock) -> None:
                with lock:
                    counter.tell(Note(), priority=MessagePriority.HIGH)
                    counter.tell(Note())
                    counter.post(Note())
                    gone.tell(Note())
                    runtime.publish("nobody", Note())
                    counter.ask(Count(), timeout=5.0).cancel()
                    gone.stop()

            assert finishes(send), f"stands still while it holds {rank.name}"
            sent += 3
        deadline = SystemClock.monotonic() + 10.0
        while counter.ask(Count()).result() < sent and SystemClock.monotonic() < deadline:
            time.sleep(0.01)
        assert counter.ask(Count()).result() == sent
    assert {rank for rank, _ in made} >= {Rank.MAILBOX, Rank.SEAT, Rank.DISPATCHER, Rank.COMPLETION, Rank.TIMERS, Rank.RECORDS}


def on_alarm(handler: Callable[[int, FrameType | None], object]) -> None:
    signal.signal(signal.SIGALRM, handler)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timers")
def test_a_signal_handler_that_tells_while_the_main_thread_tells_never_stands_still() -> None:
    with Runtime(mailbox=MailboxPolicy.drop_oldest(100_000)) as runtime:
        counter = runtime.spawn(Counter)
        hits = 0

        def handler(number: int, frame: FrameType | None) -> None:
            nonlocal hits
            hits += 1
            counter.tell(Note())
            signal.setitimer(signal.ITIMER_REAL, 0.0005)

        before = signal.getsignal(signal.SIGALRM)
        on_alarm(handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            end = SystemClock.monotonic() + 1.5
            while SystemClock.monotonic() < end:
                counter.tell(Note(), priority=MessagePriority.HIGH)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert hits > 10
        assert counter.ask(Count()).result() >= 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timers")
def test_a_signal_handler_may_stop_the_runtime_that_the_main_thread_uses() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for delay in (0.01, 0.0103, 0.0107):
        runtime = Runtime(mailbox=MailboxPolicy.drop_oldest(100_000))
        counter = runtime.spawn(Counter)
        on_alarm(lambda *_, runtime=runtime: runtime.stop(timeout=5.0))
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            while not runtime.wait(0):
                counter.tell(Note(), priority=MessagePriority.HIGH)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        report = runtime.stop()
        assert report is not None
        assert not report.stuck


class Telling:
    """Tells an agent when it dies."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.then = then

    def __del__(self) -> None:
        self.then()


def test_the_finalizer_of_a_cancelled_timers_callback_runs_without_the_lock_of_the_timers() -> None:
    timers = Timers(SystemClock())
    owned: list[bool] = []
    doomed = Telling(lambda: owned.append(timers._lock._is_owned()))
    timer = timers.call_later(60.0, lambda doomed=doomed: doomed)  # type: ignore[misc]
    del doomed
    timer.cancel()
    gc.collect()
    assert owned == [False]
    timers.close()


class Interrupting(SystemClock):
    """A clock whose code stands for a signal handler that runs in the middle of a step of the timers."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.then = then

    def monotonic(self) -> float:
        self.then()
        return SystemClock.monotonic()


def test_a_wait_inside_a_step_that_it_interrupted_is_refused() -> None:
    with Runtime() as runtime:
        counter = runtime.spawn(Counter)
        refused: list[str] = []

        def handler() -> None:
            for call in (lambda: runtime.spawn(Counter), Signal().wait):
                try:
                    call()
                except ReentrantCall as error:
                    refused.append(str(error).split()[0])

        timers = Timers(Interrupting(handler))
        timer = timers.call_later(60.0, lambda: None)
        assert refused == ["spawn", "a"]
        timer.cancel()
        timers._closed = True
        timers._doorbell.set()
        assert counter.ask(Count()).result() == 0
