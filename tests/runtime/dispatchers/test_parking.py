"""What the parking loop needs of asyncio's private parts, pinned for each version of Python that runs this."""

import asyncio
import inspect
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coterie.concurrency import Timers
from coterie.runtime.dispatchers import DispatcherResources
from coterie.runtime.dispatchers.parking import PRIVATE, ParkingLoop, supported
from coterie.runtime.dispatchers.poller import Poller
from coterie.testing import ManualClock, eventually


class Stand:
    """A loop, a clock, and a count of how often it asked for a thread."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.executor = ThreadPoolExecutor(2)
        self.poller = Poller("test")
        self.wakes = 0
        self.woken = threading.Event()
        self.loop = ParkingLoop(
            DispatcherResources("test", self.clock, Timers(self.clock), self.executor), self.wake, self.poller
        )

    def wake(self) -> None:
        self.wakes += 1
        self.woken.set()

    def pump_until(self, future: "asyncio.Future[Any]") -> Any:
        while not future.done():
            self.woken.clear()
            if self.loop.is_due:
                self.loop.pump(1_000)
            else:
                self.loop.rest()
                assert self.woken.wait(10)
        return future.result()


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.loop.close()
    stand.poller.close(5)
    stand.executor.shutdown()


def test_this_python_supports_parked_loops() -> None:
    assert supported()
    base = asyncio.SelectorEventLoop
    for name in PRIVATE:
        assert callable(getattr(base, name)), name
    assert list(inspect.signature(base._run_once).parameters) == ["self"]  # type: ignore[attr-defined] # private
    assert list(inspect.signature(base._process_events).parameters) == ["self", "event_list"]  # type: ignore[attr-defined]
    loop = base()
    for name in ("_ready", "_scheduled", "_stopping", "_thread_id", "_asyncgens"):
        assert hasattr(loop, name), name
    loop.close()


def test_it_costs_no_file_descriptor_until_it_is_used_for_input(stand: Stand) -> None:
    assert stand.loop._parking.descriptor is None
    with pytest.raises(KeyError):
        stand.loop._parking.get_key(0)
    with pytest.raises(KeyError):
        stand.loop._parking.unregister(0)
    with pytest.raises(KeyError):
        stand.loop._parking.modify(0, 1)
    assert dict(stand.loop._parking.get_map()) == {}


def test_a_pump_runs_ready_callbacks_and_returns(stand: Stand) -> None:
    seen: list[object] = []
    stand.loop.call_soon(seen.append, 1)
    stand.loop.call_soon(lambda: stand.loop.call_soon(seen.append, 2))
    assert stand.loop.is_due
    stand.loop.pump(100)
    assert seen == [1, 2]
    assert not stand.loop.is_running()
    stand.loop.pump(100)
    assert stand.loop.steps == 4


def test_a_pump_stops_after_as_many_steps_as_it_is_given(stand: Stand) -> None:
    def again() -> None:
        stand.loop.call_soon(again)

    stand.loop.call_soon(again)
    stand.loop.pump(10)
    assert stand.loop.steps == 10
    assert stand.loop.is_due


def test_a_pump_can_be_interrupted_from_within(stand: Stand) -> None:
    seen: list[int] = []

    def interrupt() -> None:
        stand.loop.interrupted = True
        stand.loop.call_soon(seen.append, 1)

    stand.loop.call_soon(interrupt)
    stand.loop.pump(100)
    assert seen == []
    stand.loop.pump(100)
    assert seen == [1]


def test_timers_are_deadlines_of_the_runtimes_clock(stand: Stand) -> None:
    seen: list[int] = []
    stand.loop.call_later(5.0, seen.append, 5)
    stand.loop.call_later(2.0, seen.append, 2)
    assert stand.loop.deadline == 2.0
    stand.clock.advance(2.0)
    assert stand.loop.is_due
    stand.loop.pump(100)
    assert seen == [2]
    assert stand.loop.deadline == 5.0
    stand.clock.advance(3.0)
    stand.loop.pump(100)
    assert seen == [2, 5]
    assert stand.loop.deadline == float("inf")


def test_callbacks_from_other_threads_ask_for_a_thread(stand: Stand) -> None:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: stand.loop.call_soon_threadsafe(seen.append, 1))  # noqa: TID251 - a user's
    thread.start()
    thread.join()
    assert stand.wakes == 1
    stand.loop.pump(100)
    assert seen == [1]


def test_tasks_futures_timeouts_and_task_groups_work(stand: Stand) -> None:
    async def child(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def main() -> list[object]:
        assert asyncio.get_running_loop() is stand.loop
        assert asyncio.current_task() is not None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
        return [task.result() for task in tasks]

    assert stand.pump_until(stand.loop.create_task(main())) == [0, 1, 2]


def test_executors_wake_the_loop(stand: Stand) -> None:
    async def main() -> tuple[int, int]:
        here = threading.get_ident()
        there = await asyncio.to_thread(threading.get_ident)
        also_there = await stand.loop.run_in_executor(None, threading.get_ident)
        assert here not in (there, also_there)
        return there, also_there

    stand.pump_until(stand.loop.create_task(main()))


def test_sockets_wake_the_loop_through_the_poller(stand: Stand) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        answer = await reader.readline()
        writer.close()
        server.close()
        await server.wait_closed()
        return answer

    assert stand.pump_until(stand.loop.create_task(main())) == b"HELLO\n"
    assert stand.poller.threads == 1


def test_input_that_came_before_the_loop_rested_is_not_missed(stand: Stand) -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.sendall(b"early")
    task = stand.loop.create_task(stand.loop.sock_recv(one, 10))
    assert stand.pump_until(task) == b"early"
    later = stand.loop.create_task(stand.loop.sock_recv(one, 10))
    stand.loop.pump(100)
    other.sendall(b"late")
    stand.woken.clear()
    stand.loop.rest()
    assert stand.woken.wait(10)
    assert stand.pump_until(later) == b"late"
    one.close()
    other.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, ValueError])
def test_a_callback_that_raises_is_reported_and_the_others_run(stand: Stand, kind: type[BaseException]) -> None:
    reported: list[BaseException] = []
    seen: list[int] = []
    stand.loop.set_exception_handler(lambda _, what: reported.append(what["exception"]))

    def fail() -> None:
        raise kind("here")

    stand.loop.call_soon(fail)
    stand.loop.call_soon(seen.append, 1)
    stand.loop.pump(100)
    assert [type(error) for error in reported] == [kind]
    assert seen == [1]


def test_stopping_a_loop_that_does_not_run_forever_does_nothing(stand: Stand) -> None:
    seen: list[int] = []
    stand.loop.call_soon(stand.loop.stop)
    stand.loop.call_soon(seen.append, 1)
    stand.loop.pump(100)
    stand.loop.call_soon(seen.append, 2)
    stand.loop.pump(100)
    assert seen == [1, 2]


def test_asynchronous_generators_are_finished_when_the_loop_closes() -> None:
    stand = Stand()
    finished: list[int] = []

    async def generate() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            finished.append(1)

    kept = generate()

    async def main() -> None:
        async for _ in kept:
            break

    stand.pump_until(stand.loop.create_task(main()))
    assert finished == []
    stand.loop.close()
    stand.loop.close()
    assert finished == [1]
    assert stand.loop.is_closed()


def test_many_loops_share_one_poller() -> None:
    stands = [Stand() for _ in range(20)]
    poller = stands[0].poller
    pairs = []
    for stand in stands:
        stand.loop._poller = poller
        one, other = socket.socketpair()
        one.setblocking(False)
        pairs.append((stand, one, other, stand.loop.create_task(stand.loop.sock_recv(one, 10))))
        stand.loop.pump(100)
        stand.loop.rest()
    for n, (_, _, other, _) in enumerate(pairs):
        other.sendall(b"%d" % n)
    eventually(lambda: all(stand.loop.input_ready for stand in stands))
    for n, (stand, one, other, task) in enumerate(pairs):
        assert stand.pump_until(task) == b"%d" % n
        one.close()
        other.close()
        stand.loop.close()
        stand.executor.shutdown()
    poller.close(5)
    assert "test-poller" not in [thread.name for thread in threading.enumerate()]
