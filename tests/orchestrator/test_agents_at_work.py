"""Agents use engines without being held up, with either dispatcher."""

import asyncio
import threading

import pytest

from coterie import Agent, Dedicated, Leased, Message, Request, Runtime, on
from coterie.runtime import Dispatcher
from coterie.testing import eventually
from coterie.work import ActionSystem, Job, ProcessingEngine


class Work(Request[int]):
    number: int


class Begin(Message):
    number: int


class Done(Message):
    number: int


class Ping(Request[list[int]]):
    pass


class Worker(Agent):
    def __init__(self) -> None:
        self.done: list[int] = []

    @on(interleave=True)
    async def work(self, message: Work) -> int:
        thought = await self.context.use(ProcessingEngine).submit(HOLD.work, message.number)
        return await self.context.use(ActionSystem).submit(abs, -thought)

    @on
    def begin(self, message: Begin) -> None:
        me = self.context.self_ref

        def tell(job: Job[int]) -> None:
            me.tell(Done(job.result()))

        self.context.use(ProcessingEngine).submit(HOLD.work, message.number, callback=tell)

    @on
    def note(self, message: Done) -> None:
        self.done.append(message.number)

    @on
    def ping(self, _: Ping) -> list[int]:
        return self.done


class Hold:
    def __init__(self) -> None:
        self.over = threading.Event()

    def work(self, number: int) -> int:
        assert self.over.wait(30)
        return number


HOLD = Hold()


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_an_agent_answers_while_its_jobs_run_and_hears_of_each(dispatcher: Dispatcher) -> None:
    HOLD.over.clear()
    with ProcessingEngine() as engine, ActionSystem() as system, Runtime(dispatcher=dispatcher) as runtime:
        runtime.provide(engine)
        runtime.provide(system)
        agent = runtime.spawn(Worker)
        replies = [agent.ask(Work(number)) for number in range(20)]
        for number in range(5):
            agent.tell(Begin(number))
        assert agent.ask(Ping()).result(10) == []
        eventually(lambda: engine.metrics().totals.pending == 25)
        HOLD.over.set()
        assert [reply.result(10) for reply in replies] == list(range(20))
        eventually(lambda: sorted(agent.ask(Ping()).result(10)) == list(range(5)))


def test_an_ask_that_is_given_up_leaves_the_job_and_the_agent_alone() -> None:
    HOLD.over.clear()
    with ProcessingEngine() as engine, ActionSystem() as system, Runtime() as runtime:
        runtime.provide(engine)
        runtime.provide(system)
        agent = runtime.spawn(Worker)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await agent.ask(Work(1), timeout=0.05)

        asyncio.run(main())
        assert agent.ask(Ping()).result(10) == []
        HOLD.over.set()
        eventually(lambda: engine.metrics().totals.succeeded == 1)
        assert runtime.health()[agent.name].restarts == 0
