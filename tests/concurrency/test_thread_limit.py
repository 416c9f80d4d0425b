import asyncio
import threading
import warnings
from collections.abc import Iterator

import pytest

from coterie import Agent, Message, Request, Runtime, on
from coterie.concurrency import PROCESS_THREADS, ElasticPool, Thread, ThreadBudget
from coterie.concurrency.budget import default_limits
from coterie.concurrency.threads import start_thread
from coterie.errors import HandlerFailed, InvalidSetting, ProgramEnding, SpawnError, ThreadLimitReached
from coterie.errors.work import ThreadsHeld
from coterie.runtime import Dedicated, Supervision
from coterie.testing import ManualClock, eventually
from coterie.work import Bounds, ProcessingEngine


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def limited() -> Iterator[None]:
    """Let no thread start but needed ones."""
    before = PROCESS_THREADS.threads_limit
    PROCESS_THREADS.set_limits(threads=1)
    with ElasticPool("holder") as pool:
        pool.submit(int).result(10)
        yield
    PROCESS_THREADS.set_limits(threads=before)


class Who(Request[str]):
    pass


class Worker(Agent):
    @on
    def who(self, message: Who) -> str:
        return threading.current_thread().name


def test_every_thread_is_counted_by_its_part_until_it_ends(release: threading.Event) -> None:
    thread = start_thread(lambda: release.wait(30), "a part-1", part="a part")
    assert PROCESS_THREADS.use().parts["a part"] == 1
    release.set()
    thread.join(10)
    assert "a part" not in PROCESS_THREADS.use().parts


@pytest.mark.usefixtures("limited")
def test_a_thread_beyond_the_limit_is_refused_with_the_holders_and_the_remedy() -> None:
    with pytest.raises(ThreadLimitReached, match=r"one more gets no .* 1 threads.*holder 1.*COTERIE_MAX_THREADS") as caught:
        start_thread(int, "one more", needed=False)
    assert caught.value.parts["holder"] == 1
    assert "one more" not in PROCESS_THREADS.use().parts


@pytest.mark.usefixtures("limited")
def test_at_the_limit_pools_go_on_with_the_threads_that_they_have(release: threading.Event) -> None:
    with ElasticPool("sharing") as pool:
        waiting = pool.submit(release.wait, 30)
        jobs = [pool.submit(int) for _ in range(3)]
        assert pool.threads == 1
        release.set()
        assert waiting.result(10)
        assert [job.result(10) for job in jobs] == [0, 0, 0]
    with ProcessingEngine(threads=Bounds(4, 4)) as engine:
        names = {job.result(10) for job in [engine.submit(lambda: threading.current_thread().name) for _ in range(20)]}
        assert len(names) == 1


@pytest.mark.usefixtures("limited")
def test_at_the_limit_an_agent_with_a_thread_of_its_own_is_not_spawned_and_leased_ones_are() -> None:
    with Runtime() as runtime:
        with pytest.raises(SpawnError, match=r"the budget of this process is 1 threads.*Leased") as caught:
            runtime.spawn(Worker, dispatcher=Dedicated(), name="own")
        assert isinstance(caught.value.__cause__, ThreadLimitReached)
        assert runtime.find("own") is None
        agents = [runtime.spawn(Worker) for _ in range(50)]
        names = {agent.ask(Who()).result(10) for agent in agents}
        assert len(names) <= 2
        PROCESS_THREADS.set_limits(threads=10_000)
        assert runtime.spawn(Worker, dispatcher=Dedicated(), name="own").ask(Who()).result(10) == "own"


def test_a_part_that_has_ended_holds_no_thread() -> None:
    with Runtime("ending") as runtime:
        runtime.spawn(Worker, dispatcher=Dedicated()).ask(Who()).result(10)
        part = f"{runtime.node} dedicated"
        assert PROCESS_THREADS.use().parts[part] == 1
        assert runtime.metrics().process.parts[part] == 1
    eventually(lambda: not any(part.startswith("ending") for part in PROCESS_THREADS.use().parts))


def test_the_environment_sets_the_limits_and_a_wrong_value_is_ignored_with_a_warning() -> None:
    assert default_limits({"COTERIE_MAX_THREADS": "50", "COTERIE_MAX_ABANDONED_THREADS": " 7 "}, None) == {
        "threads": 50,
        "abandoned": 7,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert default_limits({}, 1_000) == {"threads": 750, "abandoned": 256}
        assert default_limits({"COTERIE_MAX_THREADS": ""}, None)["threads"] == 10_000
    for wrong in ("many", "0", "-3", "1.5"):
        with pytest.warns(RuntimeWarning, match=f"COTERIE_MAX_THREADS='{wrong}' is ignored, and the limit is 10000"):
            assert default_limits({"COTERIE_MAX_THREADS": wrong}, None)["threads"] == 10_000


def test_limits_are_checked_where_they_are_set() -> None:
    with pytest.raises(InvalidSetting, match="threads"):
        PROCESS_THREADS.set_limits(threads=0)
    with pytest.raises(InvalidSetting, match="abandoned"):
        PROCESS_THREADS.set_limits(abandoned=1.5)  # type: ignore[arg-type]


@pytest.fixture
def one_abandoned(monkeypatch: pytest.MonkeyPatch) -> ThreadBudget:
    """Permit one abandoned thread, by a budget of this test alone: other tests may have left some."""
    budget = ThreadBudget(abandoned=1)
    for module in ("concurrency.pool", "runtime.cells.succession", "runtime.observation.health"):
        monkeypatch.setattr(f"coterie.{module}.PROCESS_THREADS", budget)
    return budget


@pytest.mark.usefixtures("one_abandoned")
def test_calls_that_their_callers_have_left_are_bounded(release: threading.Event) -> None:
    with ElasticPool("calls") as pool:
        begun = threading.Event()

        def hang() -> bool:
            begun.set()
            return release.wait(30)

        call = pool.submit(hang)
        assert begun.wait(10)
        assert not call.cancel()
        assert pool.abandoned == 1
        with pytest.raises(ThreadsHeld, match=r"calls refused int: 1 of its threads are held .*hang \(1\)"):
            pool.submit(int)
        release.set()
        assert call.result(10)
        eventually(lambda: pool.abandoned == 0)
        assert pool.submit(int).result(10) == 0


class Hang(Request[None]):
    pass


@pytest.mark.usefixtures("one_abandoned")
def test_a_blocking_call_of_an_agent_is_refused_with_the_reason(release: threading.Event) -> None:
    begun = threading.Event()

    def wait_for_ever() -> None:
        begun.set()
        release.wait(30)

    class Calling(Agent):
        @on(raises=(TimeoutError, ThreadsHeld))
        async def hang(self, message: Hang) -> None:
            call = asyncio.ensure_future(self.context.run_blocking(wait_for_ever))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.wait([call])

    with Runtime() as runtime:
        agent = runtime.spawn(Calling)
        agent.ask(Hang()).result(10)
        with pytest.raises(HandlerFailed, match=r"wait_for_ever \(1\)") as caught:
            agent.ask(Hang()).result(10)
        assert isinstance(caught.value.__cause__, ThreadsHeld)
        release.set()


class Stick(Message):
    pass


def test_beyond_the_limit_a_stuck_agent_is_not_replaced(
    release: threading.Event, caplog: pytest.LogCaptureFixture, one_abandoned: ThreadBudget
) -> None:
    clock = ManualClock()

    class Sticking(Agent):
        @on
        def stick(self, message: Stick) -> None:
            release.wait(30)

    with Runtime(clock=clock, stall_after=1.0, supervision=Supervision(on_stall="replace", backoff=0.0)) as runtime:
        agents = [runtime.spawn(Sticking, name=name) for name in ("first", "second")]
        for agent in agents:
            agent.tell(Stick())
        eventually(lambda: all(runtime.health()[agent.name].state == "busy" for agent in agents))
        for _ in range(8):
            clock.advance(0.25)
        eventually(lambda: "is not replaced" in caplog.text)
        assert one_abandoned.abandoned == 1
        assert sum(health.state == "stalled" for health in runtime.health().values()) == 1
        release.set()


def test_at_the_end_of_the_program_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(RuntimeError, match=r"^no$"):
        start_thread(int, "too many")
    monkeypatch.setattr(threading, "_SHUTTING_DOWN", True)
    with pytest.raises(ProgramEnding, match="'late' cannot start"):
        start_thread(int, "late")
    assert "late" not in PROCESS_THREADS.use().parts
