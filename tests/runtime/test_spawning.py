"""Many agents are started in one call."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from coterie import Agent, AgentRef, Message, Request, Runtime, on
from coterie.concurrency import start_thread
from coterie.errors import DefinitionError, InvalidSetting, RuntimeStopped, SpawnError
from coterie.runtime.dispatchers import AgentExecutor, Dispatcher, DispatcherResources, Leased, Schedulable, Scheduler
from coterie.testing import eventually


class Amount(Request[int]):
    pass


class Raise(Message):
    pass


class Holder(Agent):
    subscribes_to = ("raises",)

    def __init__(self, amount: int = 0, extra: list[int] | None = None) -> None:
        self.amount = amount + sum(extra or ())
        self.threshold = gc.get_threshold()[2]

    @on
    def amount_of(self, message: Amount) -> int:
        return self.amount

    @on
    def increase(self, message: Raise) -> None:
        self.amount += 1


def amounts(agents: list[AgentRef]) -> list[int]:
    return [reply.result(10) for reply in [agent.ask(Amount()) for agent in agents]]


def test_many_agents_start_in_order_each_with_its_arguments() -> None:
    with Runtime() as runtime:
        runtime.spawn(Holder, name="holder-2")
        extra = [1]
        agents = runtime.spawn_many(Holder, ((n, extra) for n in range(600)))
        extra.append(100)
        assert amounts(agents) == list(range(1, 601))
        assert [agent.name for agent in agents[:2]] == ["holder-1", "holder-3"]
        assert runtime.agents()[1:] == agents
        assert runtime.find("holder-601") == agents[-1]
        assert runtime.publish("raises", Raise()) == 601
        assert amounts(agents) == list(range(2, 602))
        assert runtime.metrics().spawned == 601


def test_a_number_starts_so_many_without_arguments() -> None:
    with Runtime() as runtime:
        before = gc.get_threshold()
        agents = runtime.spawn_many(Holder, 300)
        assert gc.get_threshold() == before
        assert amounts(agents) == [0] * 300
        assert runtime.spawn_many(Holder, 0) == runtime.spawn_many(Holder, []) == []
        agents[0].stop().result(10)
        # They share nothing that the end of one takes from the others.
        runtime.restart(agents[1])
        eventually(lambda: runtime.metrics_of(agents[1]).restarts == 1)
        assert amounts(agents[1:]) == [0] * 299


@pytest.mark.parametrize("each", [-1, 1.5, True, None, "ada", [1, 2], ["ada"], [(1,), 2]])
def test_what_says_of_no_agents_is_refused(each: Any) -> None:
    with Runtime() as runtime:
        with pytest.raises(InvalidSetting, match=r"spawn_many\.each"):
            runtime.spawn_many(Holder, each)
        with pytest.raises(DefinitionError, match="not an agent class"):
            runtime.spawn_many(int, 3)  # type: ignore[arg-type] # on purpose
        with pytest.raises(InvalidSetting, match=r"spawn_many\.dispatcher"):
            runtime.spawn_many(Holder, 3, dispatcher=Leased)  # type: ignore[arg-type] # on purpose
        assert not runtime.agents()


class Scarce(Scheduler):
    """Has threads for three hundred agents."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.left = 300

    def executor(self, schedulable: Schedulable) -> AgentExecutor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("there is no thread left")
        return self.inner.executor(schedulable)

    def running(self) -> Iterator[tuple[Schedulable, AgentExecutor]]:
        return self.inner.running()

    @property
    def threads(self) -> int:
        return self.inner.threads

    def close(self, timeout: float) -> None:
        self.inner.close(timeout)


class Few(Dispatcher):
    def open(self, resources: DispatcherResources) -> Scheduler:
        return Scarce(Leased().open(resources))


def test_if_one_cannot_start_none_stays() -> None:
    with Runtime() as runtime:
        before = gc.get_threshold()
        with pytest.raises(SpawnError, match="holder-257 cannot start: there is no thread left"):
            runtime.spawn_many(Holder, 400, dispatcher=Few())
        eventually(lambda: not runtime.agents())
        assert gc.get_threshold() == before
        assert amounts(runtime.spawn_many(Holder, 3)) == [0, 0, 0]
    with pytest.raises(RuntimeStopped):
        runtime.spawn_many(Holder, 3)


def test_a_stop_ends_what_a_mass_start_has_begun() -> None:
    begun = threading.Event()
    refused: list[RuntimeStopped] = []

    def start() -> None:
        try:
            for _ in range(1_000):
                runtime.spawn_many(Holder, 300)
                begun.set()
        except RuntimeStopped as error:
            refused.append(error)

    with Runtime() as runtime:
        thread = start_thread(start, "starter")
        assert begun.wait(10)
        runtime.stop(drain=False)
        thread.join(10)
    assert refused
    assert not runtime.agents()
    assert gc.get_threshold()[2] != 1_000
