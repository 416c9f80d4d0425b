"""The registry keeps nothing of agents that have ended."""

import gc

from coterie import Agent, AgentDown, AgentRef, Request, Runtime, on
from coterie.runtime.cells.cell import AgentCell
from coterie.testing import eventually


class Watch(Request[None]):
    whom: AgentRef
    on: bool = True


class News(Request[list[str]]):
    pass


class Watcher(Agent):
    def __init__(self) -> None:
        self.news: list[str] = []

    @on
    def watch(self, message: Watch) -> None:
        (self.context.watch if message.on else self.context.unwatch)(message.whom)

    @on
    def down(self, message: AgentDown) -> None:
        self.news.append(message.agent.name)

    @on
    def told(self, message: News) -> list[str]:
        return self.news


def test_who_watched_and_has_ended_is_not_kept_by_who_lives_on() -> None:
    with Runtime() as runtime:
        watched = runtime.spawn(Watcher, name="watched")
        for _ in range(20):
            watcher = runtime.spawn(Watcher)
            watcher.ask(Watch(whom=watched)).result(10)
            watcher.stop().result(10)
            del watcher

        def kept() -> int:
            gc.collect()
            return sum(isinstance(thing, AgentCell) and thing.services is services for thing in gc.get_objects())

        services = runtime._services
        eventually(lambda: kept() <= 2)  # a thread may still have the latest in its hands


def test_who_lives_on_keeps_nothing_of_those_it_watched_and_is_told_of_each() -> None:
    with Runtime() as runtime:
        watcher = runtime.spawn(Watcher)
        registry = runtime._services.registry
        for number in range(10):
            agent = runtime.spawn(Watcher, name=f"a{number}")
            watcher.ask(Watch(whom=agent)).result(10)
            if number % 2:
                watcher.ask(Watch(whom=agent, on=False)).result(10)
            agent.stop().result(10)
        eventually(lambda: len(watcher.ask(News()).result(10)) == 5)
        assert watcher.ask(News()).result(10) == [f"a{number}" for number in range(0, 10, 2)]
        assert registry._watchers == {}
        assert not any(registry._watched_by.values())
