import _thread
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from coterie.concurrency import Signal, interrupts, start_thread
from coterie.concurrency.interrupts import InterruptGuard

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin each test as a process without runtimes, whatever other tests hold."""
    monkeypatch.setattr(InterruptGuard, "_held", [])
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


@pytest.fixture
def guard() -> InterruptGuard:
    return InterruptGuard(HERE)


def test_the_usual_handler_comes_back_with_the_last_to_go(guard: InterruptGuard) -> None:
    other = InterruptGuard("/elsewhere")
    guard.hold()
    other.hold()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    guard.release()
    guard.release()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    other.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_existing_handler_of_interrupts_is_kept(guard: InterruptGuard) -> None:
    def mine(number: int, frame: FrameType | None) -> None: ...

    before = signal.signal(signal.SIGINT, mine)
    try:
        guard.hold()
        assert signal.getsignal(signal.SIGINT) is mine
        guard.release()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_do_not_touch_the_handler(guard: InterruptGuard) -> None:
    start_thread(guard.hold, "other").join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    guard.release()


def test_an_interrupt_is_put_off_until_the_bookkeeping_is_done(guard: InterruptGuard) -> None:
    steps: list[str] = []

    def bookkeeping() -> None:
        _thread.interrupt_main()
        while len(steps) < 1_000:
            steps.append("one more")

    guard.hold()
    try:
        namespace = {"bookkeeping": bookkeeping}
        with pytest.raises(KeyboardInterrupt):
            # Compiled as if it were somebody else's file: there it may be raised.
            exec(compile("bookkeeping()\nwhile True: pass", "/somebody/else.py", "exec"), namespace)  # noqa: S102
        assert len(steps) == 1_000
    finally:
        guard.release()


def test_a_wait_is_interrupted(guard: InterruptGuard) -> None:
    guard = InterruptGuard(str(Path(interrupts.__file__).parent))
    guard.hold()
    try:
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            Signal().wait(30)
        timer.join()
    finally:
        guard.release()


_LOOP = """
import random, signal, sys, threading
from coterie import Agent, Dedicated, Leased, Request, Runtime, on

class Ping(Request[int]):
    pass

class Answering(Agent):
    @on
    def ping(self, message: Ping) -> int:
        return 1

def interrupt(main):
    signal.pthread_kill(main, signal.SIGINT)

for turn in range(int(sys.argv[1])):
    runtime = Runtime(stop_timeout=5, dispatcher=Leased() if turn % 2 else Dedicated())
    agent = runtime.spawn(Answering)
    agent.ask(Ping()).result()
    # The moment is left to chance, so that each turn interrupts something else.
    timer = threading.Timer(random.uniform(1e-4, 3e-3), interrupt, [threading.get_ident()])
    try:
        timer.start()
        while True:
            agent.tell(Ping()) if turn % 4 < 2 else agent.ask(Ping()).result()
    except KeyboardInterrupt:
        pass
    timer.join()
    assert agent.ask(Ping()).result(5) == 1, "the agent does not answer any more"
    assert runtime.stop(drain=False).stuck == (), "it cannot be stopped any more"
print("whole")
"""


def test_interrupts_at_any_moment_leave_the_runtime_whole() -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", _LOOP, "60"], capture_output=True, text=True, timeout=45, check=False
    )
    assert done.stdout == "whole\n", done.stderr[-2000:]


_PROGRAM = """
import asyncio, sys, time
from coterie import Agent, Message, Runtime, on
from coterie.work import ProcessingEngine

def tell(word):
    # In one write: `print` writes the end of the line apart, and threads come between.
    sys.stdout.write(word + "\\n")
    sys.stdout.flush()

class Do(Message):
    pass

class Slow(Agent):
    @on
    def do(self, message: Do) -> None:
        time.sleep(0.02)
        tell("handled")

def work() -> None:
    time.sleep(0.1)
    tell("worked")

def begin(engine, runtime):
    agent = runtime.spawn(Slow)
    for _ in range(3):
        agent.tell(Do())
        engine.submit(work)
    print("up", flush=True)

async def main() -> None:
    with ProcessingEngine() as engine:
        async with Runtime() as runtime:
            begin(engine, runtime)
            await asyncio.sleep(30)

if sys.argv[1] == "threads":
    with ProcessingEngine() as engine, Runtime() as runtime:
        begin(engine, runtime)
        time.sleep(30)
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["threads", "loop"])
def test_sigterm_ends_a_program_in_order(way: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", _PROGRAM, way], stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own code
    assert program.stdout is not None
    # The first words may come before it.
    told = list(itertools.takewhile(lambda line: line not in ("up\n", ""), iter(program.stdout.readline, "")))
    program.send_signal(signal.SIGTERM)
    told = "".join([*told, program.communicate(timeout=20)[0]]).split()
    assert program.returncode == 143
    assert sorted(told) == ["handled"] * 3 + ["worked"] * 3
