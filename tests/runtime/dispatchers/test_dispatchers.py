import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from coterie import Agent, Dedicated, Leased, Request, Runtime, on
from coterie.errors import SpawnError
from coterie.runtime.dispatchers import leased, workers
from coterie.testing import eventually
from coterie.testing.conformance.base import Block, Echo, Gate, Gatekeeper, Recorder, Sleep


class Here(Request[int]):
    """Asks on which thread an agent runs."""


class Local(Agent):
    """Keeps something that is bound to its thread."""

    def __init__(self) -> None:
        self.local = threading.local()
        self.local.thread = threading.get_ident()

    @on
    def here(self, message: Here) -> int:
        assert self.local.thread == threading.get_ident()
        return threading.get_ident()

    @on
    async def sleep(self, message: Sleep) -> int:
        await asyncio.sleep(message.seconds)
        assert self.local.thread == threading.get_ident()
        return message.n


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_dedicated_agent_keeps_its_thread_for_life() -> None:
    with Runtime(dispatcher=Dedicated()) as runtime:
        agents = [runtime.spawn(Local) for _ in range(5)]
        threads = [agent.ask(Here()).result(10) for agent in agents]
        assert len(set(threads)) == 5
        for _ in range(5):
            assert [agent.ask(Sleep(0.0, n)).result(10) for n, agent in enumerate(agents)] == list(range(5))
            assert [agent.ask(Here()).result(10) for agent in agents] == threads


def test_an_agent_may_choose_a_dispatcher_for_itself() -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Local, name="bound", dispatcher=Dedicated())
        threads = {agent.ask(Here()).result(10) for _ in range(20)}
        assert len(threads) == 1
        assert "bound" in [thread.name for thread in threading.enumerate()]


def test_dedicated_agents_with_synchronous_handlers_cost_no_file_descriptor() -> None:
    with Runtime(dispatcher=Dedicated()) as runtime:
        before = descriptors()
        agents = [runtime.spawn(Recorder) for _ in range(100)]
        assert [agent.ask(Echo(n)).result(10) for n, agent in enumerate(agents)] == list(range(100))
        assert descriptors() == before
        assert agents[0].ask(Sleep(0.0, 1)).result(10) == 1
        assert descriptors() > before
    assert descriptors() <= before


def test_many_idle_agents_hold_few_threads_and_no_file_descriptors() -> None:
    with Runtime(dispatcher=Leased()) as runtime:
        before = descriptors()
        agents = [runtime.spawn(Recorder) for _ in range(2_000)]
        replies = [agent.ask(Sleep(0.0, n)) for n, agent in enumerate(agents)]
        assert [reply.result(30) for reply in replies] == list(range(2_000))
        assert runtime.metrics().threads <= 20
        assert descriptors() == before


def test_agents_that_sleep_hold_no_thread() -> None:
    with Runtime(dispatcher=Leased()) as runtime:
        agents = [runtime.spawn(Recorder) for _ in range(500)]
        replies = [agent.ask(Sleep()) for agent in agents]
        eventually(lambda: all(health.state == "waiting" for health in runtime.health().values()))
        assert runtime.metrics().threads <= 20
        for reply in replies:
            reply.cancel()


def test_threads_are_added_for_agents_that_block_and_retire_afterwards() -> None:
    gate = Gate()
    with Runtime(dispatcher=Leased(idle_after=0.05)) as runtime:
        agents = [runtime.spawn(Gatekeeper, gate) for _ in range(50)]
        for agent in agents:
            agent.tell(Block())
        for _ in agents:
            gate.wait_for_entry()
        assert runtime.metrics().threads >= 50
        free = runtime.spawn(Recorder)
        assert free.ask(Echo(1)).result(10) == 1
        gate.open()
        eventually(lambda: runtime.metrics().threads <= 4)
        assert free.ask(Echo(2)).result(10) == 2


def test_threads_are_added_for_agents_that_block_for_moments_only() -> None:
    """Each call is too short to be noticed as a block, but the processor is idle while others wait."""

    def are_added() -> bool:
        with Runtime(dispatcher=Leased(least=1)) as runtime:
            agents = [runtime.spawn(Napper) for _ in range(40)]
            began = time.perf_counter()
            replies = [agent.ask(Echo(n)) for _ in range(10) for n, agent in enumerate(agents)]
            for reply in replies:
                reply.result(30)
            took = time.perf_counter() - began
            return took < 0.002 * len(replies) / 3 and runtime.metrics().threads > 4

    # While other programs have the processors, none is idle, and no thread is added: so once, of several times.
    assert any(are_added() for _ in range(5))


class Napper(Agent):
    @on
    def echo(self, message: Echo) -> int:
        time.sleep(0.002)
        return message.n


def test_the_number_of_threads_has_a_limit_and_beyond_it_agents_wait() -> None:
    gate = Gate()
    with Runtime(dispatcher=Leased(least=1, most=4)) as runtime:
        agents = [runtime.spawn(Gatekeeper, gate) for _ in range(10)]
        replies = [agent.ask(Block(n)) for n, agent in enumerate(agents)]
        for _ in range(4):
            gate.wait_for_entry()
        time.sleep(0.05)
        assert runtime.metrics().threads <= 5
        gate.open()
        assert [reply.result(10) for reply in replies] == list(range(10))


def test_a_busy_agent_lets_others_have_their_turn() -> None:
    """An agent that is never without messages does not keep its thread from the others."""
    with Runtime(dispatcher=Leased(least=1, most=1)) as runtime:
        busy, other = runtime.spawn(Chatterbox), runtime.spawn(Recorder)
        busy.tell(Block())
        for n in range(20):
            assert other.ask(Echo(n)).result(10) == n
        assert busy.ask(Here()).result(10) > 20


class Chatterbox(Agent):
    def __init__(self) -> None:
        self.count = 0

    @on
    def again(self, message: Block) -> int:
        self.count += 1
        if self.count < 1_000_000 and self.context.self_ref.is_alive:
            self.context.self_ref.tell(message)
        return self.count

    @on
    def read(self, message: Here) -> int:
        count, self.count = self.count, 1_000_000
        return count


def test_a_task_that_never_rests_lets_others_have_their_turn() -> None:
    with Runtime(dispatcher=Leased(least=1, most=1)) as runtime:
        spinner, other = runtime.spawn(Spinner), runtime.spawn(Recorder)
        for n in range(20):
            assert other.ask(Echo(n)).result(10) == n
        assert spinner.ask(Echo(1)).result(10) == 1


class Spinner(Agent):
    def on_start(self) -> None:
        self.context.create_task(self.spin())

    async def spin(self) -> None:
        while self.context.self_ref.is_alive:
            await asyncio.sleep(0)

    @on
    def echo(self, message: Echo) -> int:
        return message.n


def test_agents_that_block_for_each_other_get_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A watchdog that does not look: each link takes a thread that must be started at once.
    monkeypatch.setattr(workers, "_TICK", 600.0)
    with Runtime(dispatcher=Leased(least=1)) as runtime:
        first = runtime.spawn(Recorder)
        chain = [first]
        for _ in range(30):
            chain.append(runtime.spawn(Blocking, chain[-1]))
        assert chain[-1].ask(Echo(7)).result(20) == 7


class Blocking(Agent):
    def __init__(self, next_one: object) -> None:
        self.next = next_one

    @on
    def echo(self, message: Echo) -> int:
        reply = self.next.ask(message)  # type: ignore[attr-defined] # a reference
        return int(reply.result(10))


def test_agents_that_have_ended_leave_nothing_behind() -> None:
    with Runtime() as runtime:
        for _ in range(3):
            agents = [runtime.spawn(Recorder) for _ in range(200)]
            for agent in agents:
                agent.ask(Sleep(0.0, 1)).result(10)
            for stopped in [agent.stop() for agent in agents]:
                stopped.result(10)
            del agents, agent, stopped
            # A collection in another thread makes one of ours do nothing.
            eventually(lambda: gc.collect() >= 0 and not any(type(each) is Recorder for each in gc.get_objects()))


def test_where_agents_cannot_be_leased_each_gets_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "supported", lambda: False)
    with Runtime(dispatcher=Leased()) as runtime:
        agent = runtime.spawn(Local)
        assert agent.ask(Sleep(0.0, 1)).result(10) == 1
        assert len({agent.ask(Here()).result(10) for _ in range(5)}) == 1


def test_a_system_without_threads_to_give_is_said_at_the_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with Runtime(dispatcher=Dedicated()) as runtime:
        monkeypatch.setattr("coterie.runtime.dispatchers.dedicated.start_thread", refuse)
        with pytest.raises(SpawnError, match=r"lonely cannot start: can't start new thread; stop agents, or use"):
            runtime.spawn(Recorder, name="lonely")
        monkeypatch.undo()
        assert runtime.spawn(Recorder, name="lonely").ask(Echo(1)).result(10) == 1


@pytest.mark.parametrize("arguments", [{"least": 0}, {"least": 5, "most": 2}, {"idle_after": 0}, {"quantum": 0}])
def test_an_invalid_dispatcher_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"Leased\.\w+=.*: need a"):
        Leased(**arguments)


def test_dispatchers_are_values_that_runtimes_can_share() -> None:
    dispatcher = Leased()
    with Runtime(dispatcher=dispatcher) as one, Runtime(dispatcher=dispatcher) as two:
        assert one.spawn(Recorder).ask(Echo(1)).result(10) == two.spawn(Recorder).ask(Echo(1)).result(10)
    assert Leased() == Leased()
    assert {Leased(), Leased(), Dedicated(), Dedicated()} == {Leased(), Dedicated()}
