"""What an agent does with the messages that it takes."""

import asyncio
import threading

import pytest

from coterie import Agent, AgentRef, CoterieError, MailboxPolicy, Message, Request, Runtime, on
from coterie.concurrency import start_thread
from coterie.errors import DefinitionError
from coterie.runtime import StopReport, shutdown
from coterie.runtime.cells.cell import AgentCell
from coterie.testing import eventually


class Job(Message):
    pass


class Peak(Request[int]):
    pass


class Open(Message):
    pass


class Bounded(Agent):
    def __init__(self) -> None:
        self.under_way = self.peak = self.done = 0

    @on(interleave=3)
    async def job(self, message: Job) -> None:
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await asyncio.sleep(0.005)
        self.under_way -= 1
        self.done += 1

    @on
    def peaked(self, message: Peak) -> int:
        return self.peak * 1_000 + self.done


class Unbounded(Bounded):
    @on(interleave=True)
    async def job(self, message: Job) -> None:
        await super().job(message)


@pytest.mark.parametrize(("kind", "most"), [(Bounded, 3), (Unbounded, 100)])
def test_an_interleaving_handler_has_a_bound(kind: type[Bounded], most: int) -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(kind, mailbox=MailboxPolicy.wait(capacity=10))
        for _ in range(300):
            agent.tell(Job())
        runtime.stop()
    with Runtime() as runtime:
        agent = runtime.spawn(kind, mailbox=MailboxPolicy.wait(capacity=10))
        for _ in range(150):
            agent.tell(Job())
        assert agent.ask(Peak()).result() // 1_000 <= most


@pytest.mark.parametrize("bound", [-1, 1.5, "8"])
def test_a_bound_of_interleaving_is_a_number(bound: object) -> None:
    with pytest.raises(DefinitionError, match="how many may be under way"):

        class Wrong(Agent):
            @on(interleave=bound)  # type: ignore[call-overload, untyped-decorator, unused-ignore] # that is the test
            async def job(self, message: Job) -> None: ...


class Work(Request[str]):
    pass


class Help(Request[str]):
    pass


class Slow(Agent):
    def __init__(self, gate: list[threading.Event]) -> None:
        pass

    @on
    async def work(self, message: Work) -> str:
        boss = self.context.sender
        assert boss is not None
        await asyncio.sleep(0.05)
        return "helped: " + await boss.ask(Help(), timeout=5.0)


class Go(Request[str]):
    pass


class Result(Request[str]):
    pass


class Boss(Agent):
    def __init__(self, slow: AgentRef) -> None:
        self.slow = slow

    async def _ask(self) -> str:
        return await self.slow.ask(Work())

    @on
    async def go(self, message: Go) -> str:
        self.task = asyncio.create_task(self._ask())
        await asyncio.sleep(0.001)
        return "left"

    @on
    def help(self, message: Help) -> str:
        return "here"

    @on(interleave=True)
    async def result(self, message: Result) -> str:
        return await self.task


def test_an_ask_that_its_handler_left_under_way_makes_no_circle() -> None:
    with Runtime() as runtime:
        boss = runtime.spawn(Boss, runtime.spawn(Slow, []))
        assert boss.ask(Go()).result() == "left"
        assert boss.ask(Result()).result(10.0) == "helped: here"


class Front(Agent):
    def __init__(self, back: AgentRef) -> None:
        self.back = back

    @on
    def work(self, message: Work) -> str:
        return self.back.ask(message)  # type: ignore[return-value] # it is passed on

    @on
    async def help(self, message: Help) -> str:
        return self.back.ask(message)  # type: ignore[return-value] # it is passed on


class Back(Agent):
    @on
    def work(self, message: Work) -> str:
        return "done"


@pytest.mark.parametrize("strict", [False, True])
def test_a_reply_that_a_handler_returns_is_passed_on(strict: bool) -> None:
    with Runtime(strict=strict) as runtime:
        front = runtime.spawn(Front, runtime.spawn(Back))
        assert front.ask(Work()).result() == "done"
        with pytest.raises(CoterieError, match="no handler for that type"):
            front.ask(Help()).result()


class Idle(Agent):
    stopped = 0

    def on_stop(self) -> None:
        type(self).stopped += 1


def test_an_agent_that_is_spawned_while_the_runtime_stops_is_stopped_too() -> None:
    for _ in range(15):
        runtime = Runtime(stop_timeout=5.0)

        def spawn(runtime: Runtime = runtime) -> None:
            try:
                while True:
                    runtime.spawn(Idle)
            except CoterieError:
                return

        threads = [start_thread(spawn, "spawner") for _ in range(2)]
        threading.Event().wait(0.003)
        report = runtime.stop(drain=False)
        assert report is not None
        assert not report.stuck
        for thread in threads:
            thread.join()


class Lingering(Agent):
    def __init__(self, until: threading.Event) -> None:
        self.until = until

    def on_stop(self) -> None:
        self.until.wait(10)


@pytest.mark.parametrize("others", [True, False])
def test_an_agent_whose_start_is_held_up_until_the_others_are_stopped_is_stopped_too(
    monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    held_up, go_on, added = threading.Event(), threading.Event(), threading.Event()
    runtime = Runtime(stop_timeout=10.0)
    if others:
        runtime.spawn(Lingering, added)
    registry = runtime._services.registry
    add = registry.add

    def add_late(cell: AgentCell) -> None:
        held_up.set()
        assert go_on.wait(10)
        add(cell)

    def end_threads(patience: float) -> None:
        ended.append(True)
        end(patience)

    ended: list[bool] = []
    end = runtime._services.end_threads
    monkeypatch.setattr(registry, "add", add_late)
    monkeypatch.setattr(runtime._services, "end_threads", end_threads)
    monkeypatch.setattr(shutdown, "_LAST_CALL", 0.01)
    before = Idle.stopped
    late: list[AgentRef] = []
    spawner = start_thread(lambda: late.append(runtime.spawn(Idle)), "spawner")
    assert held_up.wait(10)
    reports: list[StopReport | None] = []
    stopper = start_thread(lambda: reports.append(runtime.stop(drain=False)), "stopper")
    eventually(lambda: bool(ended) or any(cell.ending for cell in registry.cells()))
    go_on.set()
    spawner.join()
    added.set()
    stopper.join()
    assert reports[0] is not None
    assert not reports[0].stuck
    with pytest.raises(CoterieError):
        late[0].ask(Work()).result(5)
    if others:
        assert Idle.stopped == before + 1


class Buy(Message):
    pass


class Sell(Message):
    pass


class Trader(Agent):
    @on
    def handle(self, message: Buy) -> None: ...


def test_a_handler_is_never_given_a_message_of_a_type_that_it_does_not_declare() -> None:
    with pytest.raises(DefinitionError, match="which handles Buy"):

        class Seller(Trader):
            @on
            def handle(self, message: Sell) -> None: ...  # type: ignore[override] # that is the test

    class BuysMixin:
        @on
        def handle(self, message: Buy) -> None: ...

    class SellsMixin:
        @on
        def handle(self, message: Sell) -> None: ...

    with pytest.raises(DefinitionError, match="which handles Sell"):

        class Both(BuysMixin, SellsMixin, Agent): ...  # type: ignore[misc] # that is the test

    class Wider(Trader):
        @on
        def handle(self, message: Buy | Sell) -> None: ...

    assert set(Wider.__coterie_table__()) == {Buy, Sell}
